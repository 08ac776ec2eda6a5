"""The devices that a plan is made for, and those that recorded trials ran on."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from transfer.record import TrialRecord
from transfer.trials.devices import local_devices
from twist_common.errors import UserError
from twist_common.gpu_kinds import Gpu, is_kind
from twist_common.gpus import joint_gpus, memory_bytes, titles, visible_gpus

UNKNOWN_GPU = "an unknown GPU"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the trials will run on.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``.
        name: as records name one of its devices.
        num_devices: GPUs, or places for trials on CPU.
        gpu: where the user named or described one.
        efficiency: share of its peak that the user measured; None: it is assumed.
        gpu_bytes: memory of one of its GPUs; None: unknown, or there is none.
        num_joint: GPUs that one trial can have, where that is not all (:func:`twist_common.gpus.joint_gpus`).
    """

    device: str
    name: str
    num_devices: int
    gpu: Gpu | None = None
    efficiency: float | None = None
    gpu_bytes: int | None = None
    num_joint: int | None = None

    def is_kind_of(self, recorded: str) -> bool:
        """Whether a device that a record names is of this kind."""
        if self.gpu is None:
            return recorded == self.name
        return is_kind(recorded, self.gpu.kind)


def machine(device: str, *, jobs: int, gpu: Gpu | None, gpus: int | None, efficiency: float | None = None) -> Machine:
    """This machine, or one with the GPUs that the user names.

    Args:
        device: ``"cpu"`` or ``"cuda"``: see :func:`twist_common.gpus.resolve_device`.
        jobs: trials at a time, on CPU; 0: one per core.
        gpu: named or described, in which case ``device`` does not matter.
        gpus: how many GPUs; None: those of this machine, or one of the named kind.
        efficiency: ``--efficiency``.

    Raises:
        UserError: fewer than one GPU.
    """
    if gpus is not None and gpus < 1:
        raise UserError(f"--gpus is {gpus}: a plan is for at least one")
    if gpu is not None:
        return Machine(
            device="cuda",
            name=gpu.title,
            num_devices=gpus or 1,
            gpu=gpu,
            efficiency=efficiency,
            gpu_bytes=round(gpu.memory_gib * 2**30),
        )
    if device == "cuda":
        visible = visible_gpus()
        name = titles(visible)[0] if visible else UNKNOWN_GPU
        return Machine(
            device="cuda",
            name=name,
            num_devices=gpus or len(visible) or 1,
            gpu_bytes=memory_bytes(visible),
            num_joint=gpus or len(joint_gpus(visible)),
        )
    if gpus is not None:
        raise UserError("--gpus is for GPUs, and there is none here: name a kind with --gpu, e.g. --gpu h100")
    # As transfer.trials.provenance names it: the runner gives each trial one thread.
    name = f"cpu {platform.machine()}, 1 thread"
    return Machine(device="cpu", name=name, num_devices=len(local_devices(device, jobs)))


def recorded_device(record: TrialRecord) -> tuple[str, int]:
    """Name and number of the devices that a trial had; ``"NVIDIA H200 x 8"`` is eight of the first."""
    name, times, count = record.device.rpartition(" x ")
    return (name, int(count)) if times and count.isdigit() else (record.device, 1)
