"""What a handful of trials can say: spread, intervals, paired differences. Pure functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.80
MIN_TRIALS = 3  # below, no interval and no test: with one degree of freedom the t quantile is 12.7

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


@dataclass(frozen=True)
class PairedDifference:
    """Weights minus baseline, over the seeds that both have.

    Attributes:
        seeds: the common ones, in order.
        summary: of the differences.
        p_value: two-sided, paired t test; None below :data:`MIN_TRIALS` pairs and when all differences are identical.
        p_sign_flip: two-sided, exact permutation test (:func:`sign_flip_p_value`);
            None below :data:`MIN_TRIALS` pairs.
        p_holm: ``p_value`` corrected over the benchmark's table of differences.
        p_holm_overview: ``p_value`` corrected over the overview, for main metrics.
        smallest_detectable: see :func:`smallest_detectable_difference`.
        more_trials: see :func:`~transfer.report.compare.paired_tests.additional_trials`.
    """

    seeds: tuple[int, ...]
    summary: Summary
    p_value: float | None = None
    p_sign_flip: float | None = None
    p_holm: float | None = None
    p_holm_overview: float | None = None
    smallest_detectable: float | None = None
    more_trials: int | None = None


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
    return Summary(n=n, mean=mean, sd=sd, interval=_t_interval(mean, sd, n) if n >= MIN_TRIALS else None)


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], *, wanted: float | None = None
) -> PairedDifference:
    """Compares trials of the same seed.

    Args:
        values: seed to figure.
        baseline: seed to figure.
        wanted: the difference that ``more_trials`` is about, in the figure's unit; None leaves it out.
    """
    from transfer.report.compare.paired_tests import additional_trials, paired_t_p_value, sign_flip_p_value

    seeds = tuple(sorted(values.keys() & baseline.keys()))
    differences = [values[seed] - baseline[seed] for seed in seeds]
    summary = summarize(differences)
    if summary.n < MIN_TRIALS:
        return PairedDifference(seeds=seeds, summary=summary)
    p_sign_flip = sign_flip_p_value(differences)
    if not summary.sd:  # no spread for the t test to hold the mean against
        return PairedDifference(seeds=seeds, summary=summary, p_sign_flip=p_sign_flip)
    return PairedDifference(
        seeds=seeds,
        summary=summary,
        p_value=paired_t_p_value(summary),
        p_sign_flip=p_sign_flip,
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


def _t_interval(mean: float, sd: float, n: int) -> Interval:
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return Interval(low=mean - half, high=mean + half)


def _identical(sample: np.ndarray) -> bool:
    return bool(np.ptp(sample) <= ROUNDING * max(1.0, float(np.abs(sample).max())))
