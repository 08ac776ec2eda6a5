"""Processes: one, or several started by torchrun (NCCL on GPUs, gloo on CPUs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.errors import UserError
from pretrain.collectives import sum_over_processes
from pretrain.model import TwistModel


@dataclass(frozen=True)
class Process:
    """This process among all of the run's."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0


@contextmanager
def process_group(device: str) -> Iterator[Process]:
    """Joins the other processes if torchrun started this one; leaves them at the end.

    Args:
        device: ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: CUDA is wanted and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device that torch can use; leave --device out")
    use_cuda = device != "cpu" and torch.cuda.is_available()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device("cuda", local_rank) if use_cuda else torch.device("cpu")
    if use_cuda:
        torch.cuda.set_device(place)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Process(place)
        return
    dist.init_process_group("nccl" if use_cuda else "gloo")
    try:
        yield Process(place, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


class GlooSyncBatchNorm(_BatchNorm):
    """Batch norm over the batches of all processes, for CPUs; torch's own is for GPUs only."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions from two on."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (N, C, ...) by the statistics of all processes; in eval mode by the running ones."""
        if not self.training:
            return super().forward(input)
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        exact = input.double()  # E[x^2] - E[x]^2 loses too much in single precision
        count = exact.new_tensor([input.numel() / input.shape[1]])
        sums = sum_over_processes(torch.cat([exact.sum(dims), exact.square().sum(dims), count]))
        total, squares, num = sums.split([input.shape[1], input.shape[1], 1])
        mean = total / num
        variance = squares / num - mean.square()
        self._track(mean.detach(), (variance * num / (num - 1)).detach())
        output = (exact - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        output = output.to(input.dtype)
        if self.affine:
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def sync_batch_norms(model: TwistModel, process: Process) -> None:
    """Makes every batch norm but NBS take its statistics over all processes.

    NBS keeps to this process's share of the batch. Officially it spans groups of processes that add up to 256
    images, not all of them: statistics over everything make the batch's classes easier to even out.
    """
    if process.world_size == 1:
        return
    for part in (model.backbone, model.head.mlp):
        if process.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(part)
        else:
            _convert_for_gloo(part)


def _convert_for_gloo(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            synced = GlooSyncBatchNorm(child.num_features, child.eps, child.momentum, child.affine)
            synced.load_state_dict(child.state_dict())
            setattr(module, name, synced)
        else:
            _convert_for_gloo(child)


def gather(values: Tensor, process: Process) -> Tensor:
    """The 1-D tensors of all processes (of equal length), one after the other."""
    if process.world_size == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(process.world_size)]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)
