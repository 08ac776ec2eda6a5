"""Does a step of the protocol fit into a GPU, in how many parts, and how many images does batch norm see then?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from transfer.protocol_lock import USABLE_MEMORY, accumulation
from transfer.work import StepMemory
from twist_common.errors import UserError

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class PlannedMemory:
    """Of each GPU of a trial, estimated.

    Attributes:
        num_gpus: that share a step.
        batch_size: images of a step, over all of them.
        parts: in which each GPU computes its share; 0: the trial cannot run.
        needed_bytes: for one part, or for a single image where not even that fits.
        gpu_bytes: of the whole GPU.
        norm_batch: images over which batch norms take their statistics; None: none does so in training.
        on_protocol: whether those are as many as in the protocol.
        whole_on: where they are not: the fewest GPUs of this kind on which they would be; None: on no number of them.
        problem: why the trial cannot run; empty if it can.
    """

    num_gpus: int
    batch_size: int
    parts: int
    needed_bytes: int
    gpu_bytes: int
    norm_batch: int | None = None
    on_protocol: bool = True
    whole_on: int | None = None
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"not enough: {self.problem}"
        share = math.ceil(self.batch_size / self.num_gpus)
        gpus = f" on each of {self.num_gpus} GPUs" if self.num_gpus > 1 else ""
        divided = f"in {self.parts} parts of {math.ceil(share / self.parts)}" if self.parts > 1 else "at once"
        room = f"about {self.needed_bytes / GIB:.1f} of {self.gpu_bytes / GIB:.3g} GiB"
        text = f"{room}: {share} images a step{gpus}, {divided}"
        if self.norm_batch is None:
            return text
        if self.on_protocol:
            return f"{text}; batch norm sees {self.norm_batch}, as in the protocol"
        advice = f": {self.whole_on} of these GPUs keep it whole" if self.whole_on else ""
        return f"{text}; batch norm sees {self.norm_batch} of {self.batch_size}, which is off protocol{advice}"


def planned_memory(memory: StepMemory, *, image_bytes: int, num_gpus: int, gpu_bytes: int) -> PlannedMemory:
    """What a trial will do with its steps on these GPUs.

    Args:
        image_bytes: what a step takes for one image, by :func:`transfer.tasks.network_cost.image_bytes`.
    """
    if memory.is_divisible:
        return _divided(memory, image_bytes, num_gpus, gpu_bytes)
    parts = math.ceil(memory.parts / num_gpus)
    images = math.ceil(memory.batch_size / num_gpus / parts)
    needed = memory.fixed_bytes + images * image_bytes
    problem = ""
    if needed > USABLE_MEMORY * gpu_bytes:
        problem = (
            f"{images} images at a time take about {needed / GIB:.1f} GiB, the GPU has {gpu_bytes / GIB:.3g} GiB: "
            f"use one of at least {math.ceil(needed / USABLE_MEMORY / GIB)} GiB"
        )
    return PlannedMemory(
        num_gpus=num_gpus,
        batch_size=memory.batch_size,
        parts=0 if problem else parts,
        needed_bytes=needed,
        gpu_bytes=gpu_bytes,
        norm_batch=math.ceil(memory.batch_size / memory.parts) if memory.has_batch_norm else None,
        problem=problem,
    )


def _divided(memory: StepMemory, image_bytes: int, num_gpus: int, gpu_bytes: int) -> PlannedMemory:
    """As :func:`transfer.protocol_lock.accumulation` divides batches."""
    batch_size = memory.batch_size

    def parts_on(count: int) -> int:
        if batch_size % count:
            raise UserError(f"{count} GPUs cannot share a batch of {batch_size} evenly")
        return accumulation(batch_size, num_devices=count, device_bytes=gpu_bytes, image_bytes=image_bytes)

    problem, parts, whole_on = "", 0, None
    try:
        parts = parts_on(num_gpus)
    except UserError as error:
        problem = str(error)
    on_protocol = parts <= 1 or not memory.has_batch_norm
    if not on_protocol:
        more = (count for count in range(num_gpus + 1, batch_size + 1) if batch_size % count == 0)
        whole_on = next((count for count in more if parts_on(count) == 1), None)
    return PlannedMemory(
        num_gpus=num_gpus,
        batch_size=batch_size,
        parts=parts,
        needed_bytes=image_bytes * (batch_size // num_gpus // parts if parts else 1),
        gpu_bytes=gpu_bytes,
        norm_batch=batch_size // parts if memory.has_batch_norm and parts else None,
        on_protocol=on_protocol,
        whole_on=whole_on,
        problem=problem,
    )
