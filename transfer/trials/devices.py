"""How many devices a trial has, and who has which; what there is of them is counted in :mod:`twist_common.gpus`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from transfer.task import Task
from twist_common.errors import UserError
from twist_common.gpus import required_gpus


def local_devices(device: str, jobs: int = 0) -> tuple[str, ...]:
    """This machine's devices for trials: names of GPUs, or on CPU ``jobs`` places (0: one per core).

    Raises:
        UserError: ``device`` is ``"cuda"`` and no GPU is visible.
    """
    if device != "cuda":
        return tuple(f"cpu {place}" for place in range(jobs or len(os.sched_getaffinity(0))))
    return required_gpus()


def gpus_per_trial(task: Task, num_gpus: int, asked: int | None = None) -> int:
    """How many GPUs a trial of ``task`` has.

    Classification and clustering have one. Detection and segmentation have all: their batch norm is synchronised over
    the GPUs that share the batch, and the protocols' batches seldom fit on one GPU.

    Args:
        num_gpus: of the machine, that can work together (:func:`twist_common.gpus.joint_gpus`).
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
