"""What a handful of trials can say: spread, intervals, paired differences and their tests. Pure functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

CONFIDENCE = 0.95
MIN_TRIALS = 3  # below, no interval and no test: with one degree of freedom the t quantile is 12.7

# Differences of equal pairs come out equal only up to rounding (1.1 - 1.0 is not 2.1 - 2.0 in binary).
ROUNDING = 1e-10

MAX_SIGN_FLIP_PAIRS = 40  # two halves of 2^20 sums each; more would not fit in memory


Verdict = Literal["better", "worse", "equivalent", "undecided", ""]


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float

    def within(self, lowest: float, highest: float) -> Interval:
        """Its part of the range: what is estimated is in there, so the interval holds it as often as before."""
        return Interval(max(self.low, lowest), min(self.high, highest))


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

    def within(self, lowest: float, highest: float) -> SampleSummary:
        """The same, of a figure that can be nowhere else."""
        return replace(self, interval=self.interval and self.interval.within(lowest, highest))


@dataclass(frozen=True)
class ImagesInterval:
    """An interval of a mean for new test images, and for new seeds where there are several.

    Attributes:
        se_seeds: standard error of the mean that the seeds make; 0 where they make none.
        se_images: that the test images make.
        degrees: of freedom; None with the images alone, whose error is normal.
    """

    interval: Interval
    num_images: int
    se_seeds: float
    se_images: float
    degrees: float | None

    @property
    def se(self) -> float:
        """Standard error of the mean by seeds and images together."""
        return math.hypot(self.se_seeds, self.se_images)

    def within(self, lowest: float, highest: float) -> ImagesInterval:
        """The same, of a figure that can be nowhere else."""
        return replace(self, interval=self.interval.within(lowest, highest))


@dataclass(frozen=True)
class PairedDifference:
    """Weights minus others, over the seeds that both have. Only members of a family have more than the first fields.

    Attributes:
        seeds: the common ones, in order.
        summary: of the differences.
        p_value: two-sided, paired t test; None below :data:`MIN_TRIALS` pairs and when all differences are identical.
        p_sign_flip: two-sided, exact permutation test (:func:`sign_flip_p_value`); None where ``p_value`` is.
        correlation: Pearson's, of the two figures over the seeds; None where one of them has no spread.
        efficiency: variance of the difference of unpaired means, relative to that of paired ones: above 1, pairing was
            worth it. None where the differences have no spread.
        p_images: two-sided, for new test images besides new seeds, from what ``with_images`` holds; None where that or
            ``p_value`` is.
        p_holm: ``p_claim`` corrected over the family (:mod:`~transfer.report.compare.families`).
        simultaneous: the intervals of the whole family hold all of their true differences in 95 % of experiments.
        p_equivalence: :func:`equivalence_p_value`, for new images too where they are known, corrected over the family.
        smallest_detectable: see :func:`~transfer.report.compare.power.smallest_detectable_difference`.
        more_trials: see :func:`~transfer.report.compare.power.additional_trials`.
        verdict: what the corrected tests say; empty outside families.
        with_images: the interval for new test images too (:mod:`~transfer.report.compare.images`); None where the
            outcomes of the images are not known.
    """

    seeds: tuple[int, ...]
    summary: SampleSummary
    p_value: float | None = None
    p_sign_flip: float | None = None
    p_images: float | None = None
    correlation: float | None = None
    efficiency: float | None = None
    p_holm: float | None = None
    simultaneous: Interval | None = None
    p_equivalence: float | None = None
    smallest_detectable: float | None = None
    more_trials: int | None = None
    verdict: Verdict = ""
    with_images: ImagesInterval | None = None

    @property
    def p_claim(self) -> float | None:
        """What verdicts and bold go by: a difference that the choice of test images alone can explain is none."""
        return max(self.p_value, self.p_images or 0.0) if self.p_value is not None else None


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
    bounds = mean_interval(mean, sd, n, CONFIDENCE) if n >= MIN_TRIALS else None
    return SampleSummary(n=n, mean=mean, sd=sd, interval=bounds)


def mean_interval(mean: float, sd: float, n: int, confidence: float) -> Interval:
    """Student's t interval of a mean."""
    half = t_quantile((1 + confidence) / 2, n - 1) * sd / math.sqrt(n)
    return Interval(low=mean - half, high=mean + half)


@functools.cache
def t_quantile(probability: float, degrees: float) -> float:
    """Of Student's t; with infinitely many degrees of freedom, of the normal distribution."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if math.isinf(degrees) else stdtrit(degrees, probability))


def paired_difference(values: Mapping[int, float], others: Mapping[int, float]) -> PairedDifference:
    """Compares trials of the same seed.

    Args:
        values: seed to figure.
        others: seed to figure of what they are compared with.
    """
    seeds = tuple(sorted(values.keys() & others.keys()))
    pairs = np.array([[values[seed] for seed in seeds], [others[seed] for seed in seeds]], dtype=float)
    differences = list(pairs[0] - pairs[1])
    summary = summarize(differences)
    if summary.n < MIN_TRIALS or not summary.sd:  # no spread for a test to hold the mean against
        return PairedDifference(seeds=seeds, summary=summary)
    sds = pairs.std(axis=1, ddof=1)
    return PairedDifference(
        seeds=seeds,
        summary=summary,
        p_value=paired_t_p_value(summary),
        p_sign_flip=sign_flip_p_value(differences),
        correlation=float(np.corrcoef(pairs)[0, 1]) if sds.all() else None,
        efficiency=float((sds**2).sum()) / summary.sd**2 if sds.all() else None,
    )


def paired_t_p_value(differences: SampleSummary) -> float:
    """Two-sided p of Student's paired t test, from the summary of differences that have a spread."""
    return 2 * _upper_tail(abs(_t_statistic(differences, 0.0)), differences.n - 1)


def images_p_value(differences: SampleSummary, images: ImagesInterval) -> float | None:
    """Two-sided p of no difference for new test images besides new seeds; None where no seed is in the interval."""
    if images.degrees is None or differences.mean is None:
        return None
    return 2 * _upper_tail(abs(differences.mean) / images.se, images.degrees)


def equivalence_p_value(differences: SampleSummary, margin: float, images: ImagesInterval | None = None) -> float:
    """p of two one-sided paired t tests (Schuirmann 1987): the true difference is below ``margin`` in size.

    Args:
        images: where it is to hold for new test images too.
    """
    above = _upper_tail(_t_statistic(differences, -margin), differences.n - 1)
    below = _upper_tail(-_t_statistic(differences, margin), differences.n - 1)
    if images is None or images.degrees is None or differences.mean is None:
        return max(above, below)
    return max(above, below, _upper_tail((margin - abs(differences.mean)) / images.se, images.degrees))


def _t_statistic(differences: SampleSummary, mean: float) -> float:
    assert differences.mean is not None and differences.sd
    return (differences.mean - mean) / (differences.sd / math.sqrt(differences.n))


def _upper_tail(statistic: float, degrees: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(degrees, -statistic))


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
