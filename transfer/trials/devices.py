"""Which devices there are, how many a trial has, and who has which; pure except for :func:`visible_gpus`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from common.errors import UserError
from transfer.task import Task

VISIBLE = "CUDA_VISIBLE_DEVICES"


def resolve_device(device: str) -> str:
    """Turns ``"auto"`` into ``"cuda"`` where a GPU answers and is visible, else into ``"cpu"``.

    Raises:
        UserError: an unknown device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device is {device!r}: known are auto, cpu, cuda")
    if device != "auto":
        return device
    return "cuda" if visible_gpus() else "cpu"


def local_devices(device: str, jobs: int = 0) -> tuple[str, ...]:
    """This machine's devices for trials: names of GPUs, or on CPU ``jobs`` places (0: one per core).

    Raises:
        UserError: ``device`` is ``"cuda"`` and no GPU is visible.
    """
    if device != "cuda":
        return tuple(f"cpu {place}" for place in range(jobs or len(os.sched_getaffinity(0))))
    gpus = visible_gpus()
    if not gpus:
        raise UserError(f"--device cuda, but no GPU is visible: see nvidia-smi -L and {VISIBLE}, or give --device cpu")
    return gpus


def visible_gpus() -> tuple[str, ...]:
    """GPUs of this machine as ``CUDA_VISIBLE_DEVICES`` names them; an outer setting of it is respected."""
    if shutil.which("nvidia-smi") is None:
        return ()
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return gpus_of(listing.stdout, os.environ)


def gpus_of(listing: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs in the output of ``nvidia-smi -L`` that ``environment`` leaves visible.

    The variable is read as CUDA reads it: numbers or UUIDs, in this order, up to the first that does not exist
    (CUDA C++ Programming Guide, "CUDA Environment Variables").
    """
    num_gpus = sum(line.startswith("GPU ") for line in listing.splitlines())
    if VISIBLE not in environment or not num_gpus:
        return tuple(map(str, range(num_gpus)))
    visible: list[str] = []
    for name in environment[VISIBLE].split(","):
        name = name.strip()
        exists = int(name) < num_gpus if name.isdigit() else name.startswith(("GPU-", "MIG-"))
        if not exists:
            break
        visible.append(name)
    return tuple(visible)


def gpus_per_trial(task: Task, num_gpus: int, asked: int | None = None) -> int:
    """How many GPUs a trial of ``task`` has.

    Classification and clustering have one. Detection and segmentation have all: their batch norm is synchronised over
    the GPUs that share the batch, and the protocols' batches seldom fit on one GPU.

    Args:
        num_gpus: of the machine.
        asked: ``--gpus-per-trial``, for every task alike.

    Raises:
        UserError: fewer than one GPU is asked for, or more than there are.
    """
    if asked is None:
        return num_gpus if task.uses_all_gpus else 1
    if not 1 <= asked <= num_gpus:
        raise UserError(f"--gpus-per-trial is {asked}: give a number from 1 to {num_gpus}, the GPUs that are visible")
    return asked


class DevicePool:
    """Keeps account of who has which device.

    Args:
        devices: all devices to be given out.
        jobs: trials that may hold devices at a time; 0 for no limit but the devices.
    """

    def __init__(self, devices: Sequence[str], jobs: int = 0) -> None:
        self._order = {device: place for place, device in enumerate(devices)}
        self._free = list(devices)
        self._jobs_left = jobs or len(devices)

    def take(self, count: int) -> tuple[str, ...] | None:
        """The first ``count`` devices that are free; None if there are not so many now."""
        if count > len(self._free) or not self._jobs_left:
            return None
        taken, self._free = tuple(self._free[:count]), self._free[count:]
        self._jobs_left -= 1
        return taken

    def give_back(self, devices: Sequence[str]) -> None:
        """Takes back what one :meth:`take` gave."""
        self._free = sorted([*self._free, *devices], key=self._order.__getitem__)
        self._jobs_left += 1
