"""The processes of a run: one, or several started by torchrun (NCCL on GPUs, gloo on CPUs), and their collectives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from common.cuda import check_cuda
from common.errors import UserError
from common.gpus import num_processes as num_processes_of
from common.gpus import resolve_device


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
    """Joins the other processes if torchrun started this one, and leaves them when the block ends.

    Args:
        device: ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: the machine has GPUs that torch cannot use, or fewer than processes, or none and they were asked for.
    """
    use_cuda = resolve_device(device) == "cuda"
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if use_cuda:
        check_cuda()
        if local_rank >= (num_gpus := num_processes_of("cuda")):
            raise UserError(
                f"process {local_rank} of this machine has no GPU, there are {num_gpus}: start one process for each"
            )
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


@contextmanager
def first_process_first(process: Process) -> Iterator[None]:
    """Holds the other processes back until the first one is through, so that they find what it wrote to disk."""
    if process.world_size > 1 and not process.is_first:
        dist.barrier()
    try:
        yield
    finally:
        if process.world_size > 1 and process.is_first:
            dist.barrier()


def any_process(flag: bool, process: Process) -> bool:
    """Whether ``flag`` is true in some process; a collective operation."""
    if process.world_size == 1:
        return flag
    raised = torch.tensor([float(flag)], device=process.device)
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised.item())


def num_processes() -> int:
    """How many processes take part in collectives; 1 where nothing was started."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_over_processes(values: Tensor) -> Tensor:
    """The 1-D tensors of all processes (of equal length), one after the other; without gradient."""
    if num_processes() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(num_processes())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def own_part(gathered: Tensor) -> Tensor:
    """This process's part of what :func:`gather_over_processes` returned."""
    if num_processes() == 1:
        return gathered
    return gathered.chunk(num_processes())[dist.get_rank()]


def share_of_loss(loss: Tensor) -> Tensor:
    """The whole loss, from each process's summand of it, whose gradient takes no collective.

    A loss that every process computes from it in the same way has, after DistributedDataParallel's mean over
    processes, the gradient that one process with the whole batch would have.
    """
    if num_processes() == 1:
        return loss
    total = loss.detach().clone()
    dist.all_reduce(total)
    return total + num_processes() * (loss - loss.detach())  # adds nothing but the gradient
