"""The processes of a run: one, or several started by torchrun (NCCL on GPUs, gloo on CPUs), and their collectives."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pretrain.constants import constant
from twist_common.cuda import check_cuda
from twist_common.errors import UserError
from twist_common.gpus import num_processes as num_processes_of
from twist_common.gpus import resolve_device

# Of a collective: longer than any step or checkpoint, for which the others wait while the first process writes it.
TIME_LIMIT = timedelta(minutes=30)
START_LIMIT = timedelta(minutes=10)  # for all processes to connect
ANSWER_SECONDS = 3.0  # for the remaining processes to report after one was lost

Value = TypeVar("Value")


class LostProcessError(RuntimeError):
    """Another process of the run has died or does not answer; the message says which."""


@dataclass(frozen=True)
class Process:
    """This process among all of the run's.

    Attributes:
        control: the group for messages about the run itself, which uses gloo even on GPUs.
        has_bf16: whether the device computes in bfloat16; GPUs older than Ampere only emulate it.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1
    control: Any = None
    has_bf16: bool = True

    @property
    def is_first(self) -> bool:
        return self.rank == 0


@contextmanager
def process_group(device: str) -> Iterator[Process]:
    """Joins the other processes if torchrun started this one, and leaves the group when the block ends.

    Args:
        device: ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: torch cannot use the machine's GPUs, there are fewer GPUs than processes, or none although requested.
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
    has_bf16 = not use_cuda or torch.cuda.is_bf16_supported(including_emulation=False)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Process(place, has_bf16=has_bf16)
        return
    # If a collective runs into its time limit, NCCL's flight recorder writes what each rank was doing.
    os.environ.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "1")
    os.environ.setdefault("TORCH_FR_BUFFER_SIZE", "2000")
    try:
        store, rank, world_size = next(dist.rendezvous("env://", timeout=START_LIMIT))
    except dist.DistError as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise LostProcessError(f"cannot meet the other processes at {where}: {str(error).splitlines()[0]}") from error
    try:
        dist.init_process_group(
            "nccl" if use_cuda else "gloo", store=store, rank=rank, world_size=world_size, timeout=TIME_LIMIT
        )
        control = dist.new_group(backend="gloo", timeout=TIME_LIMIT) if use_cuda else None
        yield Process(place, rank, world_size, control, has_bf16)
    except (dist.DistError, RuntimeError) as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise LostProcessError(_who_is_missing(store, rank, world_size, error)) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _who_is_missing(store: Any, rank: int, world_size: int, error: Exception) -> str:
    """Which processes do not answer after a collective has failed; all remaining processes ask at the same time."""
    reason = str(error).strip().splitlines()[0]
    try:
        store.set(f"present/{rank}", platform.node())
        time.sleep(ANSWER_SECONDS)
        missing = [str(each) for each in range(world_size) if not store.check([f"present/{each}"])]
    except dist.DistError:  # the store is in the first process, where torchrun did not start it
        missing = ["0"]
    if not missing:
        return f"a collective failed though all {world_size} processes are there: {reason}"
    return f"process {', '.join(missing)} of {world_size} has died or does not answer"


def gather_objects(value: Value, process: Process) -> list[Value]:
    """The values of all processes, by rank; a collective operation for anything that can be pickled."""
    if process.world_size == 1:
        return [value]
    values: list[Any] = [None] * process.world_size
    dist.all_gather_object(values, value, group=process.control)
    return values


def wait_for_all(process: Process) -> None:
    """A barrier; its error names the processes that do not arrive within :data:`TIME_LIMIT`."""
    if process.world_size > 1:
        dist.monitored_barrier(process.control, timeout=TIME_LIMIT, wait_all_ranks=True)


@contextmanager
def first_process_first(process: Process) -> Iterator[None]:
    """Runs the block in the first process, then in the others, so that they find what it wrote to disk."""
    if process.world_size > 1 and not process.is_first:
        dist.barrier()
    try:
        yield
    finally:
        if process.world_size > 1 and process.is_first:
            dist.barrier()


def any_process(flag: bool, process: Process) -> bool:
    """Whether ``flag`` is true in any process; a collective operation."""
    if process.world_size == 1:
        return flag
    raised = constant([float(flag)], process.device)
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised.item())


def num_processes() -> int:
    """How many processes take part in collectives; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_over_processes(values: Tensor) -> Tensor:
    """The 1-D tensors of all processes (of equal length), concatenated by rank; without gradient."""
    if num_processes() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(num_processes())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def own_part(gathered: Tensor) -> Tensor:
    """This process's part of the result of :func:`gather_over_processes`."""
    if num_processes() == 1:
        return gathered
    return gathered.chunk(num_processes())[dist.get_rank()]


def share_of_loss(loss: Tensor) -> Tensor:
    """The sum of a loss over all processes; its gradient takes no collective.

    After DistributedDataParallel's mean over processes, whatever every process computes from it in the same way has
    the gradient that a single process with the whole batch would have.
    """
    if num_processes() == 1:
        return loss
    total = loss.detach().clone()
    dist.all_reduce(total)
    return total + num_processes() * (loss - loss.detach())  # adds 0, which has the gradient
