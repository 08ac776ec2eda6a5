"""Tests of paired differences, their correction over a table, and how many trials a difference needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from transfer.report.compare.statistics import ALPHA, POWER, ROUNDING, Summary, paired_t_power

MAX_SIGN_FLIP_PAIRS = 40  # two halves of 2^20 sums each; more would not fit in memory
MAX_TRIALS_NEEDED = 10_000


def paired_t_p_value(differences: Summary) -> float:
    """Two-sided p of Student's paired t test, from the summary of differences that have a spread."""
    from scipy.stats import t

    assert differences.mean is not None and differences.sd
    statistic = differences.mean / (differences.sd / math.sqrt(differences.n))
    return float(2 * t.sf(abs(statistic), differences.n - 1))


def sign_flip_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p of the paired permutation test: the part of all 2^n sign patterns with as large a sum (Fisher).

    Exact, without drawing: the sums of the first and of the second half of the pairs are enumerated, and the pairs
    of them that reach the observed sum counted. Sums that differ by rounding only count as equal, so ties, zeros
    included, are on the side of a larger p.

    Returns:
        p; None without pairs, and above :data:`MAX_SIGN_FLIP_PAIRS`.
    """
    n = len(differences)
    if not 0 < n <= MAX_SIGN_FLIP_PAIRS:
        return None
    magnitudes = np.abs(np.asarray(differences, dtype=float))
    observed = abs(math.fsum(differences)) - ROUNDING * max(1.0, float(magnitudes.sum()))
    if observed <= 0:
        return 1.0
    left, right = _signed_sums(magnitudes[: n // 2]), np.sort(_signed_sums(magnitudes[n // 2 :]))
    reaching = right.size - np.searchsorted(right, observed - left, side="left")
    # Each pattern has its mirror image: both tails are equal.
    return min(1.0, 2 * float(reaching.sum(dtype=np.int64)) / 2**n)


def _signed_sums(magnitudes: np.ndarray) -> np.ndarray:
    """(2^k,): the sums of k magnitudes under every pattern of signs."""
    sums = np.zeros(1)
    for magnitude in magnitudes:
        sums = np.concatenate([sums + magnitude, sums - magnitude])
    return sums


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979); comparisons without a test stay None, uncounted."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        corrected[index] = largest
    return corrected


def additional_trials(
    difference: float, sd: float, n: int, *, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """How many pairs more than ``n`` a two-sided paired t test needs to find ``difference`` with ``power``.

    Args:
        difference: the true one, in the unit of ``sd``; not 0.
        sd: standard deviation of the paired differences, above 0.

    Returns:
        0 if ``n`` pairs are enough; None if more than :data:`MAX_TRIALS_NEEDED` pairs are needed.
    """
    effect = abs(difference) / sd

    def enough(pairs: int) -> bool:
        return paired_t_power(effect * math.sqrt(pairs), pairs, alpha) >= power

    low, high = 1, 2  # a test needs two pairs
    while not enough(high):
        low, high = high, high * 2
        if low > MAX_TRIALS_NEEDED:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(0, high - n) if high <= MAX_TRIALS_NEEDED else None
