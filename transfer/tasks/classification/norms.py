"""Batch norm in parts: statistics over so many images, whatever the number of processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Norms:
    """The batch norms of a model: when their running statistics follow.

    Args:
        momentum: weight of new statistics in the running ones; None leaves the network's own.
    """

    def __init__(self, model: nn.Module, momentum: float | None) -> None:
        self._norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self._momenta = [norm.momentum if momentum is None else momentum for norm in self._norms]

    @contextmanager
    def tracking(self, tracking: bool) -> Iterator[None]:
        """Whether passes within the context change the running statistics."""
        for norm, momentum in zip(self._norms, self._momenta, strict=True):
            norm.momentum = momentum if tracking else 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(self._norms, self._momenta, strict=True):
                norm.momentum = momentum


def num_parts(batch_size: int, norm_batch: int | None) -> int:
    """Into how many parts of at most ``norm_batch`` images a step is divided, over all processes."""
    return 1 if norm_batch is None else math.ceil(batch_size / norm_batch)


def fitting_processes(batch_size: int, norm_batch: int | None, available: int) -> int:
    """The most processes that share a step evenly, in whole parts: batch norm is then the same for any number."""
    parts = num_parts(batch_size, norm_batch)
    return max(
        count for count in range(1, available + 1) if parts % count == 0 and (count == 1 or batch_size % parts == 0)
    )
