"""What a handful of trials can say: spread, intervals, paired differences. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.80

# Differences of equal pairs come out equal only up to rounding (1.1 - 1.0 is not 2.1 - 2.0 in binary).
ROUNDING = 1e-10


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Repeated measurements of one figure.

    Attributes:
        n: how many there are; 0 leaves every other field None.
        sd: sample standard deviation (n - 1 in the denominator); None below two values.
        interval: 95 % t interval of the mean; None below two values, and None when all values are identical: equal
            trials show that the seed has no influence, not that the mean is known without error.
    """

    n: int
    mean: float | None
    sd: float | None
    interval: Interval | None

    @property
    def identical(self) -> bool:
        """Several trials, one value."""
        return self.n > 1 and self.sd == 0


@dataclass(frozen=True)
class PairedDifference:
    """Weights minus baseline, over the seeds that both have.

    Attributes:
        seeds: the common ones, in order.
        summary: of the differences.
        p_value: two-sided, paired t test; None below two pairs and when all differences are identical.
        smallest_detectable: see :func:`smallest_detectable_difference`.
    """

    seeds: tuple[int, ...]
    summary: Summary
    p_value: float | None
    smallest_detectable: float | None


def summarize(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and 95 % t interval of the values.

    Raises:
        ValueError: a value is not finite; failed trials must be left out before.
    """
    sample = np.asarray(values, dtype=float)
    if not np.isfinite(sample).all():
        raise ValueError(f"not finite: {list(values)}")
    n = sample.size
    if n == 0:
        return Summary(n=0, mean=None, sd=None, interval=None)
    if n == 1:
        return Summary(n=1, mean=float(sample[0]), sd=None, interval=None)
    if _identical(sample):
        return Summary(n=n, mean=float(sample[0]), sd=0.0, interval=None)
    mean, sd = float(sample.mean()), float(sample.std(ddof=1))
    return Summary(n=n, mean=mean, sd=sd, interval=_t_interval(mean, sd, n))


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> PairedDifference:
    """Compares trials of the same seed.

    Args:
        values: seed to figure.
        baseline: seed to figure.
    """
    from scipy.stats import ttest_rel

    seeds = tuple(sorted(values.keys() & baseline.keys()))
    ours, theirs = [values[seed] for seed in seeds], [baseline[seed] for seed in seeds]
    summary = summarize([a - b for a, b in zip(ours, theirs, strict=True)])
    if not summary.sd:  # below two pairs, or without spread: nothing to test against
        return PairedDifference(seeds=seeds, summary=summary, p_value=None, smallest_detectable=None)
    return PairedDifference(
        seeds=seeds,
        summary=summary,
        p_value=float(ttest_rel(ours, theirs).pvalue),
        smallest_detectable=smallest_detectable_difference(summary.sd, summary.n),
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
    from scipy.optimize import brentq

    if n < 2:
        return None
    upper = 1.0
    while paired_t_power(upper, n, alpha) < power:
        upper *= 2
    noncentrality = brentq(lambda x: paired_t_power(x, n, alpha) - power, 0.0, upper)
    return float(noncentrality) * sd / math.sqrt(n)


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


def _t_interval(mean: float, sd: float, n: int) -> Interval:
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return Interval(low=mean - half, high=mean + half)


def _identical(sample: np.ndarray) -> bool:
    return bool(np.ptp(sample) <= ROUNDING * max(1.0, float(np.abs(sample).max())))
