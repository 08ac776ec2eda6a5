"""Checks that what data-loading processes hand over fits into shared memory, which is scarce in containers."""

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
    """Checks that the batches that are loaded ahead fit into the free shared memory, before the first is loaded.

    Args:
        num_workers: loading processes of all training processes on this machine together.

    Raises:
        UserError: they do not fit, which would end in a bus error.
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
    """The loader, which raises UserError if a loading process cannot hand over a batch, e.g. because /dev/shm is full.

    Otherwise it would wait for ever: lists of tensors are put into shared memory by a thread of
    :class:`multiprocessing.Queue`, which prints errors and continues (``_on_queue_feeder_error``,
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
    """What a loader receives instead of the lost batch."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def reraise(self) -> NoReturn:
        raise UserError(
            f"reading processes cannot hand over their images ({self.reason}): if {SHARED_MEMORY} is full, give the "
            "container more (Docker: --shm-size, --ipc=host)"
        )
