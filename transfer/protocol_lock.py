"""The protocol lock: did a trial run its named protocol, the same protocol with another batch, or something else?

Detection and segmentation are sensitive to the batch: half of it without its schedule has cost 5 AP in one report.
Fewer GPUs therefore either keep the batch (:func:`accumulation`) or change all that goes with it (:func:`rescaled`).
Pure functions of settings that a task reads from its framework's config; no torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from twist_common.errors import UserError

Standing = Literal["on protocol", "rescaled", "off protocol"]

# The allocator's gaps and the kernels' workspaces need room too.
USABLE_MEMORY = 0.9


@dataclass(frozen=True, kw_only=True)
class BatchSchedule:
    """What goes with the batch.

    Attributes:
        batch_size: images per step, over all GPUs.
        learning_rate: the base, after warm-up.
        iterations, milestones, warmup_iterations: in steps; milestones are where the rate drops.
    """

    batch_size: int
    learning_rate: float
    iterations: int
    milestones: tuple[int, ...] = ()
    warmup_iterations: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a trial relates to its protocol; ``difference`` is in words, for the record, and empty on protocol."""

    standing: Standing
    difference: list[str]


def rescaled(schedule: BatchSchedule, batch_size: int) -> BatchSchedule:
    """The same number of images in steps of another size: the linear scaling rule (Goyal et al. 2017, section 2.1).

    The learning rate is in proportion to the batch; iterations, milestones and warm-up are in inverse proportion.

    Raises:
        UserError: the batch is empty.
    """
    if batch_size < 1:
        raise UserError(f"--rescale is {batch_size}: a batch has at least one image")
    return BatchSchedule(
        batch_size=batch_size,
        learning_rate=schedule.learning_rate * batch_size / schedule.batch_size,
        iterations=_scaled(schedule.iterations, schedule, batch_size),
        milestones=tuple(_scaled(milestone, schedule, batch_size) for milestone in schedule.milestones),
        warmup_iterations=_scaled(schedule.warmup_iterations, schedule, batch_size),
    )


def _scaled(iterations: int, schedule: BatchSchedule, batch_size: int) -> int:
    return round(iterations * schedule.batch_size / batch_size)


def judge(
    protocol: BatchSchedule, used: BatchSchedule, difference: Sequence[str], schedule_keys: Collection[str]
) -> Verdict:
    """How a trial relates to its protocol.

    It is rescaled if it differs in its batch, has exactly the schedule of :func:`rescaled` for that batch, and differs
    in nothing else; however that came about, by ``--rescale`` or setting by setting.

    Args:
        protocol, used: as read from the protocol's config and from the trial's.
        difference: ``"KEY: protocol value -> value used"`` for every setting that differs.
        schedule_keys: the keys of what :class:`BatchSchedule` holds.
    """
    if not difference:
        return Verdict(standing="on protocol", difference=[])
    other = [line for line in difference if line.partition(": ")[0] not in schedule_keys]
    if not other and used.batch_size != protocol.batch_size:
        expected = rescaled(protocol, used.batch_size)
        # learning rates are written by hand: 0.0025 is 0.02 / 8
        same_rate = math.isclose(used.learning_rate, expected.learning_rate, rel_tol=1e-9)
        if same_rate and replace(used, learning_rate=expected.learning_rate) == expected:
            summary = f"rescaled from batch {protocol.batch_size} to {used.batch_size}"
            return Verdict(standing="rescaled", difference=[summary, *difference])
    return Verdict(standing="off protocol", difference=list(difference))


def check_divisible(setting: str, batch_size: int, num_devices: int) -> None:
    """Raises UserError if the devices cannot share a batch evenly.

    Args:
        setting: the framework's name of the batch's size.
    """
    if batch_size % num_devices:
        fitting = max(number for number in range(1, num_devices) if batch_size % number == 0)
        raise UserError(
            f"{setting} is {batch_size}, which {num_devices} GPUs cannot share evenly: give --gpus-per-trial {fitting}"
        )


def accumulation(batch_size: int, *, num_devices: int, device_bytes: int, image_bytes: int) -> int:
    """Into how many parts each device's share of the batch must be divided to fit into its memory; 1: it fits whole.

    Args:
        batch_size: images per step, over all devices, which divide it evenly.
        device_bytes: memory of one device.
        image_bytes: what training takes for one image.

    Raises:
        UserError: not even one image fits.
    """
    share = batch_size // num_devices
    for parts in range(1, share + 1):
        if share % parts == 0 and share // parts * image_bytes <= USABLE_MEMORY * device_bytes:
            return parts
    needed = math.ceil(image_bytes / USABLE_MEMORY / 2**30)
    raise UserError(
        f"training takes about {image_bytes / 2**30:.1f} GiB per image, the GPU has {device_bytes / 2**30:.1f} GiB: "
        f"use one of at least {needed} GiB"
    )


def batch_note(batch_size: int, *, parts: int, has_batch_norm: bool = True) -> str:
    """What the record says about a batch that was accumulated; empty if it was not.

    The gradient is that of ``parts`` times as many devices. Batch norm is not: it sees one part at a time, on all
    devices together.
    """
    if parts == 1:
        return ""
    norm = f" (batch norm over {batch_size // parts} images)" if has_batch_norm else ""
    return f"same batch, accumulated ×{parts}{norm}"


def with_norm_batch(verdict: Verdict, batch_size: int, *, parts: int, has_batch_norm: bool) -> Verdict:
    """The verdict on a trial whose steps are in ``parts``: with batch norm over one part at a time it is off protocol.

    How many parts there are follows from the GPUs' memory, and figures of trials on other GPUs are not to be averaged
    or paired with these as if nothing were different.
    """
    if parts == 1 or not has_batch_norm:
        return verdict
    line = f"batch norm: over {batch_size} images -> over {batch_size // parts}"
    return Verdict(standing="off protocol", difference=[*verdict.difference, line])
