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
from pretrain.collectives import normalize_over_processes
from pretrain.model.norms import BunchNorm, track


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
        output, mean, variance = normalize_over_processes(input, eps=self.eps)
        track(self, mean, variance)
        if self.affine:
            shape = [1, -1, *[1] * (input.dim() - 2)]
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output


def sync_batch_norms(module: nn.Module, process: Process) -> None:
    """Makes every batch norm within ``module`` but NBS take its statistics over all processes.

    Any backbone will do; one without batch norms, a ViT, stays as it is. State-dict keys stay the same. NBS has its
    own bunches: :func:`pretrain.model.norms.assign_bunches`.
    """
    if process.world_size == 1:
        return
    for name, child in module.named_children():
        if isinstance(child, BunchNorm):
            continue
        if isinstance(child, _BatchNorm):
            setattr(module, name, _synced(child, process))
        else:
            sync_batch_norms(child, process)


def _synced(norm: _BatchNorm, process: Process) -> nn.Module:
    if process.device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
        return converted
    synced = GlooSyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    synced.load_state_dict(norm.state_dict())
    return synced


@contextmanager
def first_process_first(process: Process) -> Iterator[None]:
    """Lets the other processes in when the first one is through, and finds what it left on disk for them."""
    if process.world_size > 1 and not process.is_first:
        dist.barrier()
    try:
        yield
    finally:
        if process.world_size > 1 and process.is_first:
            dist.barrier()


def any_process(flag: bool, process: Process) -> bool:
    """Whether ``flag`` is true in some process; all of them have to ask at the same time."""
    if process.world_size == 1:
        return flag
    raised = torch.tensor([float(flag)], device=process.device)
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised.item())
