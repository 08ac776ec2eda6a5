"""Outcomes of monocular depth: the errors of each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.kind import Outcomes, Weights, checked, smallest

METRICS = ("rmse_cm", "abs_rel", "delta1")


@dataclass(frozen=True, eq=False)
class Depths(Outcomes):
    """Errors of images, whose means are the metrics.

    Attributes:
        errors: (N, metrics) in the order of :data:`METRICS`.
        counts, sums: (N,) true depths, and their sum in millimetres; images without one are not averaged over.
    """

    errors: NDArray[np.float64]
    counts: NDArray[np.integer]
    sums: NDArray[np.integer]

    @property
    def resamplable(self) -> tuple[str, ...]:
        return METRICS

    @property
    def num_images(self) -> int:
        return len(self.counts)

    def truth(self) -> bytes:
        return np.stack([self.counts, self.sums]).astype("<i8").tobytes()

    def resampled(self, metric: str, weights: Weights) -> NDArray[np.float64]:
        used = weights * (self.counts > 0)
        with np.errstate(invalid="ignore"):
            means: NDArray[np.float64] = used @ self.errors[:, METRICS.index(metric)] / used.sum(axis=1)
        return means

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        bits = np.ascontiguousarray(self.errors, dtype="<f8").view("<u8")  # a file holds whole numbers alone
        return {"errors": bits, "counts": smallest(self.counts), "sums": smallest(self.sums)}, {}

    @classmethod
    def of_parts(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Depths:
        counts, sums = (checked(arrays[name], 1, 2**48, name) for name in ("counts", "sums"))
        bits = arrays["errors"]
        if bits.dtype != np.dtype("<u8") or bits.shape != (len(counts), len(METRICS)) or len(sums) != len(counts):
            raise ValueError("its errors are not those of its images")
        errors = np.ascontiguousarray(bits).view("<f8")
        if not (np.isfinite(errors) & (errors >= 0)).all() or not (counts > 0).any():
            raise ValueError("its errors are none, or no image has a depth")
        return cls(errors, counts, sums)
