"""SGD as all fine-tuning here has it: groups with learning rates of their own, and their schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

Cosine = Literal["step", "epoch"]


@dataclass(frozen=True, kw_only=True)
class SgdSettings:
    """What a training by SGD is told, whichever protocol it comes from.

    Attributes: see :class:`transfer.tasks.classification.sgd_protocols.FinetuneProtocol`.
        norm_momentum: weight of a step's statistics in batch norm's running ones; None: the network's own.
    """

    num_steps: int
    batch_size: int
    lr_backbone: float
    lr_head: float
    cosine: Cosine
    warmup_steps: int
    momentum: float
    nesterov: bool
    weight_decay: float
    norm_batch: int | None = None
    norm_momentum: float | None = None


def make_optimizer(backbone: nn.Module, head: nn.Module, settings: SgdSettings) -> torch.optim.SGD:
    """SGD over backbone and head with their learning rates as ``peak_lr``; vectors (norms, biases) without decay."""
    groups = []
    for module, peak_lr in ((backbone, settings.lr_backbone), (head, settings.lr_head)):
        parameters = list(module.parameters())
        for members, weight_decay in (
            ([parameter for parameter in parameters if parameter.ndim > 1], settings.weight_decay),
            ([parameter for parameter in parameters if parameter.ndim <= 1], 0.0),
        ):
            groups.append({"params": members, "peak_lr": peak_lr, "weight_decay": weight_decay})
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, nesterov=settings.nesterov)


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Each group's learning rate is its peak times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def lr_factor(step: int, num_steps: int, warmup_steps: int, *, steps_per_epoch: int = 1) -> float:
    """Linear rise to 1 over ``warmup_steps`` steps, then a cosine that would reach 0 at ``num_steps``.

    Args:
        steps_per_epoch: more than 1 keeps the cosine for a whole epoch at what it is at the epoch's first step.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    held = max(step // steps_per_epoch * steps_per_epoch, warmup_steps)
    progress = (held - warmup_steps) / max(num_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))
