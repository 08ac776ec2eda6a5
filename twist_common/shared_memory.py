"""Whether what reading processes hand over fits into shared memory, which containers have little of."""

from __future__ import annotations

import shutil
from pathlib import Path

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
