"""What a handful of trials can say: spread, intervals, paired differences and their tests. Pure functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.80
MIN_TRIALS = 3  # below, no interval and no test: with one degree of freedom the t quantile is 12.7

# Differences of equal pairs come out equal only up to rounding (1.1 - 1.0 is not 2.1 - 2.0 in binary).
ROUNDING = 1e-10

MAX_SIGN_FLIP_PAIRS = 40  # two halves of 2^20 sums each; more would not fit in memory
MAX_TRIALS_NEEDED = 10_000


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class SampleSummary:
    """Repeated measurements of one figure.

    Attributes:
        n: how many there are; with 0, every other field is None.
        sd: sample standard deviation (n - 1 in the denominator); None below two values.
        interval: 95 % t interval of the mean; None below :data:`MIN_TRIALS` values, and None when all values are
            identical: equal trials show that the seed has no influence, not that the mean is known without error.
    """

    n: int
    mean: float | None
    sd: float | None
    interval: Interval | None

    @property
    def identical(self) -> bool:
        """Several trials, one value."""
        return self.n > 1 and self.sd == 0

    def counted_once(self) -> SampleSummary:
        """The same without the repetitions of one value: they add nothing to the first."""
        return replace(self, n=1, sd=None) if self.identical else self


@dataclass(frozen=True)
class PairedDifference:
    """Weights minus baseline, over the seeds that both have.

    Attributes:
        seeds: the common ones, in order.
        summary: of the differences.
        p_value: two-sided, paired t test; None below :data:`MIN_TRIALS` pairs and when all differences are identical.
        p_sign_flip: two-sided, exact permutation test (:func:`sign_flip_p_value`); None where ``p_value`` is.
        p_holm: ``p_value`` corrected over the benchmark's table of differences.
        p_holm_overview: ``p_value`` corrected over the overview, for main metrics.
        smallest_detectable: see :func:`smallest_detectable_difference`.
        more_trials: see :func:`additional_trials`.
    """

    seeds: tuple[int, ...]
    summary: SampleSummary
    p_value: float | None = None
    p_sign_flip: float | None = None
    p_holm: float | None = None
    p_holm_overview: float | None = None
    smallest_detectable: float | None = None
    more_trials: int | None = None


def summarize(values: Sequence[float]) -> SampleSummary:
    """Mean, sample standard deviation and 95 % t interval of the values.

    Raises:
        ValueError: a value is not finite; failed trials must be left out beforehand.
    """
    sample = np.asarray(values, dtype=float)
    if not np.isfinite(sample).all():
        raise ValueError(f"not finite: {list(values)}")
    n = sample.size
    is_identical = n > 1 and np.ptp(sample) <= ROUNDING * max(1.0, float(np.abs(sample).max()))
    if n < 2 or is_identical:
        mean, sd = float(sample[0]) if n else None, 0.0 if is_identical else None
        return SampleSummary(n=n, mean=mean, sd=sd, interval=None)
    mean, sd = float(sample.mean()), float(sample.std(ddof=1))
    if n < MIN_TRIALS:
        return SampleSummary(n=n, mean=mean, sd=sd, interval=None)
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return SampleSummary(n=n, mean=mean, sd=sd, interval=Interval(low=mean - half, high=mean + half))


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], *, wanted: float | None = None
) -> PairedDifference:
    """Compares trials of the same seed.

    Args:
        values: seed to figure.
        baseline: seed to figure.
        wanted: the difference that ``more_trials`` is about, in the figure's unit; None for no such number.
    """
    seeds = tuple(sorted(values.keys() & baseline.keys()))
    differences = [values[seed] - baseline[seed] for seed in seeds]
    summary = summarize(differences)
    if summary.n < MIN_TRIALS or not summary.sd:  # no spread for a test to hold the mean against
        return PairedDifference(seeds=seeds, summary=summary)
    return PairedDifference(
        seeds=seeds,
        summary=summary,
        p_value=paired_t_p_value(summary),
        p_sign_flip=sign_flip_p_value(differences),
        smallest_detectable=smallest_detectable_difference(summary.sd, summary.n),
        more_trials=additional_trials(wanted, summary.sd, summary.n) if wanted else None,
    )


def smallest_detectable_difference(sd: float, n: int, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The true difference that a two-sided paired t test over ``n`` pairs finds with probability ``power``.

    Solves the power of the noncentral t distribution for its noncentrality; the usual shortcut with normal
    quantiles is a quarter too small at n = 5.

    Args:
        sd: standard deviation of the paired differences, in the figure's unit.
        n: number of pairs.

    Returns:
        The difference in the unit of ``sd``; None below two pairs, where there is no test.
    """
    return _noncentrality(n, alpha, power) * sd / math.sqrt(n) if n > 1 else None


@functools.cache
def _noncentrality(n: int, alpha: float, power: float) -> float:
    """Where :func:`paired_t_power` is ``power``."""
    from scipy.optimize import brentq

    upper = 1.0
    while paired_t_power(upper, n, alpha) < power:
        upper *= 2
    return float(brentq(lambda x: paired_t_power(x, n, alpha) - power, 0.0, upper))


def paired_t_power(noncentrality: float, n: int, alpha: float = ALPHA) -> float:
    """Probability that a two-sided paired t test over ``n`` pairs rejects.

    Args:
        noncentrality: true mean difference / (sd of the differences / sqrt(n)).
    """
    from scipy.stats import nct, t

    critical = t.ppf(1 - alpha / 2, n - 1)
    # The lower tail by symmetry, P(T < -c; x) = P(T > c; -x): scipy's nct.cdf(-c, x) is NaN for some x above 8.
    upper_tail = nct.sf(critical, n - 1, noncentrality)
    lower_tail = nct.sf(critical, n - 1, -noncentrality)
    return float(upper_tail + lower_tail)


def paired_t_p_value(differences: SampleSummary) -> float:
    """Two-sided p of Student's paired t test, from the summary of differences that have a spread."""
    from scipy.stats import t

    assert differences.mean is not None and differences.sd
    statistic = differences.mean / (differences.sd / math.sqrt(differences.n))
    return float(2 * t.sf(abs(statistic), differences.n - 1))


def sign_flip_p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p of the paired permutation test: the share of all 2^n sign patterns with as large a sum (Fisher).

    Exact, without sampling: the sums of the first and of the second half of the pairs are enumerated, and the pairs
    of sums that reach the observed one are counted. Sums that differ only by rounding count as equal, so ties, zeros
    included, make p larger.

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
    """Holm's step-down correction (Scand. J. Statist. 6, 1979); what has no test stays None and does not count."""
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
    """How many pairs beyond ``n`` a two-sided paired t test needs to find ``difference`` with ``power``.

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
