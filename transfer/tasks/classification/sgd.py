"""SGD for all fine-tuning: groups of parameters, learning-rate schedules, and batch norm in parts of a step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfer.tasks.classification.protocol import num_parts


@dataclass(frozen=True, kw_only=True)
class SgdSettings:
    """The settings of one training, whichever protocol it comes from.

    Attributes: see :class:`transfer.tasks.classification.protocol.FinetuneProtocol`.
        whole_batches: see :class:`transfer.tasks.classification.loader.Order`.
        norm_momentum: weight of a step's statistics in batch norm's running ones; None: the network's own.
    """

    num_steps: int
    batch_size: int
    lr_backbone: float
    lr_head: float
    cosine: Literal["step", "epoch"]
    warmup_steps: int
    momentum: float
    nesterov: bool
    weight_decay: float
    norm_batch: int | None = None
    whole_batches: bool = True
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
    fused = True if next(head.parameters()).is_cuda else None  # None is torch's choice, several kernels on GPUs
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, nesterov=settings.nesterov, fused=fused)


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets each group's learning rate to its peak times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def lr_factor(step: int, num_steps: int, warmup_steps: int, *, steps_per_epoch: int = 1) -> float:
    """Linear rise to 1 over ``warmup_steps`` steps, then a cosine that would reach 0 at ``num_steps``.

    Args:
        steps_per_epoch: more than 1 holds the cosine for a whole epoch at its value at the epoch's first step.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    held = max(step // steps_per_epoch * steps_per_epoch, warmup_steps)
    progress = (held - warmup_steps) / max(num_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))


class Norms:
    """The batch norms of a model, whose running statistics can be held.

    Args:
        momentum: weight of new statistics in the running ones; None keeps the network's own.
    """

    def __init__(self, model: nn.Module, momentum: float | None) -> None:
        self._norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self._momenta = [norm.momentum if momentum is None else momentum for norm in self._norms]

    @contextmanager
    def tracking(self, tracking: bool) -> Iterator[None]:
        """Within the context, passes change the running statistics only if ``tracking``."""
        for norm, momentum in zip(self._norms, self._momenta, strict=True):
            norm.momentum = momentum if tracking else 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(self._norms, self._momenta, strict=True):
                norm.momentum = momentum


def fitting_processes(batch_size: int, norm_batch: int | None, available: int) -> int:
    """The most processes that share a step evenly, in whole parts: batch norm is then the same for any number."""
    parts = num_parts(batch_size, norm_batch)
    return max(
        count for count in range(1, available + 1) if parts % count == 0 and (count == 1 or batch_size % parts == 0)
    )
