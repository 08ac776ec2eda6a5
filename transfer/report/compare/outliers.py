"""A trial far from the others of its row, by Grubbs' test (Technometrics 11, 1969): named, and counted all the same."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from transfer.report.compare.statistics import MIN_TRIALS

OUTLIER_ALPHA = 0.01  # of a row of normal trials, whatever their number


def outlier(values: Mapping[int, float]) -> int | None:
    """The seed of the trial that is farthest from the mean, where the test shows it to be an outlier.

    Args:
        values: seed to figure.
    """
    sample = np.array([*values.values()])
    if len(sample) <= MIN_TRIALS or not np.ptp(sample):
        return None
    distances = np.abs(sample - sample.mean()) / sample.std(ddof=1)
    farthest = int(distances.argmax())
    return [*values][farthest] if distances[farthest] > grubbs_limit(len(sample)) else None


def grubbs_limit(n: int, alpha: float = OUTLIER_ALPHA) -> float:
    """Two-sided critical value of the largest distance from the mean, in standard deviations."""
    from scipy.special import stdtrit

    t = float(stdtrit(n - 2, 1 - alpha / (2 * n)))
    return (n - 1) / math.sqrt(n) * math.sqrt(t**2 / (n - 2 + t**2))
