"""Whether what reading processes hand over fits into shared memory, which containers have little of."""

from __future__ import annotations

import functools
import multiprocessing.queues
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from twist_common.errors import UserError

SHARED_MEMORY = Path("/dev/shm")
BATCHES_AHEAD = 2  # of each process: torch's DataLoader, prefetch_factor


def check_shared_memory(num_workers: int, batch_bytes: int) -> None:
    """Holds the batches that are read ahead against the free shared memory, before the first is read.

    Args:
        num_workers: reading processes of all processes on this machine together.

    Raises:
        UserError: they do not fit; they would end in a bus error.
    """
    if not num_workers or not SHARED_MEMORY.is_dir():
        return
    needed, free = num_workers * BATCHES_AHEAD * batch_bytes, shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise UserError(
            f"{SHARED_MEMORY} has {free / 2**20:.0f} MiB free, but {num_workers} reading processes keep "
            f"{needed / 2**20:.0f} MiB of images ready in it: give the container more (Docker: --shm-size, --ipc=host)"
        )


def without_lost_batches(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The loader, which raises UserError where a reading process cannot hand over a batch, as when /dev/shm is full.

    Else it would wait without end: lists of tensors are put into shared memory by a thread of
    :class:`multiprocessing.Queue`, which prints what fails and goes on (``_on_queue_feeder_error``,
    https://github.com/python/cpython/blob/3.13/Lib/multiprocessing/queues.py).
    """
    loader.worker_init_fn = functools.partial(_begin_reading, loader.worker_init_fn)
    return loader


def _begin_reading(begin: Callable[[int], None] | None, worker: int) -> None:
    multiprocessing.queues.Queue._on_queue_feeder_error = _hand_over_the_error  # type: ignore[attr-defined]
    if begin is not None:
        begin(worker)


def _hand_over_the_error(queue: Any, error: BaseException, numbered: tuple[int, object]) -> None:
    queue.put((numbered[0], _Lost(str(error))))


class _Lost(ExceptionWrapper):
    """What a loader finds in the place of a batch."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def reraise(self) -> NoReturn:
        raise UserError(
            f"reading processes cannot hand over their images ({self.reason}): if {SHARED_MEMORY} is full, give the "
            "container more (Docker: --shm-size, --ipc=host)"
        )
