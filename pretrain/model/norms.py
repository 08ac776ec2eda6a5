"""Batch norms over more or less than a process's batch: NBS over bunches of images, all others over all processes.

NBS is the batch norm before the softmax. In the official code a bunch is 256 images, over however many processes they
are spread: with statistics of the whole batch, it would be easier to balance the classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from pretrain.constants import constant
from pretrain.distributed import Process
from pretrain.model.even_sync_norm import EvenSyncBatchNorm
from twist_common.errors import UserError


@dataclass(frozen=True)
class BunchLayout:
    """How bunches are distributed over processes: several in each, or each across several.

    Attributes:
        images: number of images of a bunch in one process.
        processes: number of processes that share a bunch; they have consecutive ranks.
    """

    images: int
    processes: int


def bunch_layout(bunch_size: int | None, part_size: int, world_size: int) -> BunchLayout:
    """Distributes bunches over the processes.

    Args:
        bunch_size: images in a bunch; None: the whole part.
        part_size: images over all processes that pass through the network together: ``data.batch_size`` divided by
            ``data.accumulation``.

    Raises:
        UserError: the numbers do not divide each other.
    """
    part = f"{part_size} images (data.batch_size / data.accumulation)"
    if part_size % world_size:
        raise UserError(f"{part} cannot be shared evenly by {world_size} processes: make it a multiple of {world_size}")
    share = part_size // world_size
    size = part_size if bunch_size is None else bunch_size
    if size < 1 or part_size % size:
        raise UserError(
            f"model.bunch_size is {size}, which does not divide {part}: set model.bunch_size to a divisor of "
            f"{part_size}, or change the batch or its accumulation"
        )
    if share % size and size % share:
        raise UserError(
            f"model.bunch_size is {size}, but each of {world_size} processes has {share} of {part}: set "
            f"model.bunch_size to a divisor or a multiple of {share}, or start another number of processes"
        )
    return BunchLayout(min(size, share), max(1, size // share))


@dataclass(frozen=True)
class _Place:
    """This process's place in the layout; ``group`` is None for all processes."""

    layout: BunchLayout
    group: dist.ProcessGroup | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _Place:
        """Returns itself: the copied norm of a momentum encoder shares the group, which cannot be copied."""
        return self


class BunchNorm(nn.BatchNorm1d):
    """Batch norm without affine over bunches of images; its state dict has the keys of ``BatchNorm1d(affine=False)``.

    Without :func:`assign_bunches`, all rows of an input are one bunch. The running statistics track the mean over this
    process's bunches; see :func:`average_running_statistics`.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, affine=False)
        self.place: _Place | None = None

    def forward(self, logits_NC: Tensor, num_views: int = 1) -> Tensor:  # noqa: N803 - rows, classes
        """Normalises (N, C): first the rows of the first view of all images, then those of the next view, and so on.

        Half-precision rows, as autocast produces them, are normalised and returned in single precision.

        Raises:
            ValueError: the rows are not whole views of whole bunches.
        """
        logits_NC = logits_NC.to(torch.promote_types(logits_NC.dtype, torch.float32))
        if not self.training or self.place is None:
            return super().forward(logits_NC)
        num_images = self.place.layout.images
        num_bunches, rest = divmod(len(logits_NC), num_views * num_images)
        if rest:
            raise ValueError(f"{len(logits_NC)} rows are not {num_views} views of bunches of {num_images} images")
        if self.place.layout.processes > 1:
            if num_bunches != 1:
                raise ValueError(f"this process's part of a bunch is {num_images} images, not more")
            output, mean, variance = normalize_over_processes(logits_NC, eps=self.eps, group=self.place.group)
            _track(self, mean, variance)
            return output
        if num_bunches == 1:
            return super().forward(logits_NC)
        outputs, means, variances = [], [], []
        for bunch in logits_NC.unflatten(0, (num_views, -1)).split(num_images, dim=1):
            mean, variance = (torch.zeros_like(each) for each in _running(self))
            # With a momentum of 1, mean and variance become those of this bunch.
            rows = F.batch_norm(bunch.flatten(0, 1), mean, variance, training=True, momentum=1.0, eps=self.eps)
            outputs.append(rows.unflatten(0, bunch.shape[:2]))
            means.append(mean)
            variances.append(variance)
        _track(self, torch.stack(means).mean(dim=0), torch.stack(variances).mean(dim=0))
        return torch.cat(outputs, dim=1).flatten(0, 1)


def assign_bunches(norm: BunchNorm, bunch_size: int | None, part_size: int, process: Process) -> None:
    """Sets which images share the norm's statistics. Every process must call this, in the same order.

    Bunches are consecutive images of the part, process after process.

    Args:
        bunch_size, part_size: see :func:`bunch_layout`.

    Raises:
        UserError: see :func:`bunch_layout`.
    """
    layout = bunch_layout(bunch_size, part_size, process.world_size)
    group: dist.ProcessGroup | None = None
    if 1 < layout.processes < process.world_size:
        for first in range(0, process.world_size, layout.processes):
            ranks = range(first, first + layout.processes)
            made = dist.new_group([*ranks])  # every process must call this, whether or not it is a member
            if process.rank in ranks:
                assert isinstance(made, dist.ProcessGroup)
                group = made
    norm.place = _Place(layout, group)


@torch.no_grad()
def average_running_statistics(model: nn.Module, process: Process) -> None:
    """Replaces the running statistics of every :class:`BunchNorm` in ``model`` by their mean over processes.

    They are moving averages, and averaging is linear, so doing this before each checkpoint is enough.
    DistributedDataParallel must not synchronise buffers (``forward_sync_buffers=False``), or all processes would get
    those of the first one.
    """
    norms = [module for module in model.modules() if isinstance(module, BunchNorm)]
    if process.world_size == 1 or not norms:
        return
    statistics = [each for norm in norms for each in _running(norm)]
    packed = torch.cat(statistics).double()
    dist.all_reduce(packed)
    packed /= process.world_size
    for ours, mean in zip(statistics, packed.split([len(each) for each in statistics]), strict=True):
        ours.copy_(mean)


def sync_batch_norms(module: nn.Module, process: Process) -> None:
    """Makes every batch norm within ``module`` except NBS take its statistics over all processes.

    The keys of the state dict stay the same. For NBS, see :func:`assign_bunches`.
    """
    if process.world_size == 1:
        return
    for name, child in module.named_children():
        if isinstance(child, BunchNorm):
            continue
        if not isinstance(child, _BatchNorm):
            sync_batch_norms(child, process)
            continue
        kind = EvenSyncBatchNorm if process.device.type == "cuda" else GlooSyncBatchNorm
        synced = kind(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
        synced.load_state_dict(child.state_dict())
        setattr(module, name, synced)


class GlooSyncBatchNorm(_BatchNorm):
    """Batch norm over the batches of all processes, for CPUs; torch's own supports only GPUs."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accepts any number of dimensions from two on."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (N, C, ...) with the statistics of all processes; in eval mode with the running ones."""
        if not self.training:
            return super().forward(input)
        output, mean, variance = normalize_over_processes(input, eps=self.eps)
        _track(self, mean, variance)
        if self.affine:
            shape = [1, -1, *[1] * (input.dim() - 2)]
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output


def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Updates a norm's running statistics with those of a batch, each (C,), unless tracking is switched off."""
    if not norm.track_running_stats:  # in the first of two forward passes, see pretrain.run.step
        return
    assert norm.momentum is not None and norm.num_batches_tracked is not None
    for running, new in zip(_running(norm), (mean, variance), strict=True):
        running.lerp_(new.to(running.dtype), norm.momentum)
    norm.num_batches_tracked.add_(1)


def _running(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def normalize_over_processes(
    input: Tensor, *, eps: float, group: dist.ProcessGroup | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm without affine parameters, with the statistics of all processes of a group; on CPUs and GPUs.

    Its backward pass has a collective too, so that the gradient accounts for the losses of all processes.

    Args:
        input: (N, C, ...); N may differ between processes.
        group: None for all processes.

    Returns:
        The normalised input in its own precision, and the group's mean and unbiased variance, each (C,) in double
        precision and without gradient.
    """
    output, mean, variance = _NormalizeOverProcesses.apply(input, eps, group)
    return output, mean, variance


class _NormalizeOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, eps: float, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor, Tensor]:
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        dims = [0, *range(2, input.dim())]
        own_mean = wide.mean(dims, keepdim=True)
        own_squares = (wide - own_mean).square_().sum(dims).double()
        # The sums are in double precision: E[x^2] - E[x]^2 would be too inaccurate in single precision.
        own_mean = own_mean.flatten().double()
        count = constant([input.numel() / input.shape[1]], own_mean.device, own_mean.dtype)
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
    """(C,) as a factor of a tensor (N, C, ...), in its precision."""
    return values.to(like.dtype).view(1, -1, *[1] * (like.dim() - 2))
