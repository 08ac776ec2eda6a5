"""Operations over several processes that gradients flow through."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of all processes' tensors of this shape; its backward pass sums the gradients of all processes.

    A loss that every process computes from such sums has, after DistributedDataParallel's mean over processes, the
    gradient that one process with the whole batch would have.
    """
    total: Tensor = _SumOverProcesses.apply(tensor)
    return total


def num_processes() -> int:
    """How many processes take part in collectives; 1 where nothing was started."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _ShareOfLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        total = loss.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * num_processes()


def share_of_loss(loss: Tensor) -> Tensor:
    """The whole loss, from each process's summand; like :func:`sum_over_processes` but without a collective backward.

    Every process has to go on from it in the same way, so that their gradients of it are equal.
    """
    if num_processes() == 1:
        return loss
    total: Tensor = _ShareOfLoss.apply(loss)
    return total


def gather_over_processes(values: Tensor) -> Tensor:
    """The 1-D tensors of all processes (of equal length), one after the other; without gradient."""
    if num_processes() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(num_processes())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def own_part(gathered: Tensor) -> Tensor:
    """This process's part of what :func:`gather_over_processes` put together."""
    if num_processes() == 1:
        return gathered
    return gathered.chunk(num_processes())[dist.get_rank()]


class _NormalizeOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, eps: float, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor, Tensor]:
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        dims = [0, *range(2, input.dim())]
        own_mean = wide.mean(dims, keepdim=True)
        own_squares = (wide - own_mean).square_().sum(dims).double()
        # The sums in double precision: E[x^2] - E[x]^2 loses too much in single.
        own_mean = own_mean.flatten().double()
        count = own_mean.new_tensor([input.numel() / input.shape[1]])
        sums = torch.cat([own_mean * count, own_squares + own_mean.square() * count, count])
        dist.all_reduce(sums, group=group)
        total, squares, num = sums.split([len(own_mean), len(own_mean), 1])
        mean = total / num
        variance = squares / num - mean.square()
        unbiased = variance * num / (num - 1).clamp_min(1)
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(input, mean, scale, num)
        ctx.group = group
        ctx.mark_non_differentiable(mean, unbiased)
        output = (wide - _per_channel(mean, wide)).mul_(_per_channel(scale, wide))
        return output.to(input.dtype), mean, unbiased

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        input, mean, scale, num = ctx.saved_tensors
        wide = grad.to(torch.promote_types(grad.dtype, torch.float32))
        dims = [0, *range(2, input.dim())]
        normalized = (input.to(wide.dtype) - _per_channel(mean, wide)).mul_(_per_channel(scale, wide))
        sums = torch.stack([wide.sum(dims), (wide * normalized).sum(dims)]).double()
        dist.all_reduce(sums, group=ctx.group)
        mean_grad, mean_product = sums / num
        inner = wide - _per_channel(mean_grad, wide) - normalized.mul_(_per_channel(mean_product, wide))
        return inner.mul_(_per_channel(scale, wide)).to(grad.dtype), None, None


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).view(1, -1, *[1] * (like.dim() - 2))


def normalize_over_processes(
    input: Tensor, *, eps: float, group: dist.ProcessGroup | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm without affine whose statistics are those of all processes of a group; on CPUs and GPUs.

    Its gradient takes the one of every process's loss into account, as :func:`sum_over_processes` does.

    Args:
        input: (N, C, ...); N may differ between processes.
        group: None for all processes.

    Returns:
        The normalised input in its own precision, and the group's mean and unbiased variance, each (C,) in double
        precision and without gradient.
    """
    output, mean, variance = _NormalizeOverProcesses.apply(input, eps, group)
    return output, mean, variance
