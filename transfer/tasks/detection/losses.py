"""Detectron2's trainers with one reading of a step's losses, where its own wait for the device once for each."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.distributed as dist
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor


class ReadsLossesOnce:
    """Writes the means of a step's losses over all processes, by one collective on the device and one copy.

    Detectron2 0.6 copies them one by one and gathers them as pickled objects. A loss that is not finite ends every
    process here, and there the main one alone.
    """

    def _write_metrics(self, loss_dict: Mapping[str, Tensor], data_time: float, prefix: str = "") -> None:
        losses = torch.stack([loss.detach().float() for loss in loss_dict.values()])
        if comm.get_world_size() > 1:
            dist.all_reduce(losses)
            losses /= comm.get_world_size()
        means = dict(zip(loss_dict, losses.tolist(), strict=True))
        storage = get_event_storage()
        if not math.isfinite(total := sum(means.values())):
            raise FloatingPointError(f"Loss became infinite or NaN at iteration={storage.iter}!\nloss_dict = {means}")
        storage.put_scalars(data_time=data_time, **{f"{prefix}total_loss": total})
        if len(means) > 1:
            storage.put_scalars(**means)


class Trainer(ReadsLossesOnce, SimpleTrainer):
    """Detectron2's trainer."""


class MixedPrecisionTrainer(ReadsLossesOnce, AMPTrainer):
    """Detectron2's trainer in mixed precision."""
