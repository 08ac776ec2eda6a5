"""Differences of two methods over their pre-training runs: is the method better, or only this checkpoint of it?

A run of one method is no partner of a run of another, so runs are two independent samples of means over their seeds
(Welch, Biometrika 34, 1947). Test images are shared by all: what they add is the covariance that runs have through
them, of the two methods less that between them, as in :mod:`~transfer.report.compare.images`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from transfer.report.compare.families import difference_range, without_survivors
from transfer.report.compare.images import Draws
from transfer.report.compare.model import BenchmarkKey, BenchmarkResult, Report, ResultRow
from transfer.report.compare.power import ALPHA
from transfer.report.compare.runs import is_drawn, methods, run_draws, runs_of_methods
from transfer.report.compare.statistics import CONFIDENCE, MIN_TRIALS, Interval, holm, summarize, t_quantile

ONE_CHECKPOINT = "holds for this checkpoint only"


@dataclass(frozen=True)
class OverRuns:
    """What two samples of runs say of the difference of their methods.

    Attributes:
        interval: 95 %, for new runs of both with new seeds, and for new images where ``se_images`` is known.
        se_images: standard error that the test images make; None where their outcomes are not known.
        p_value: two-sided, of no difference, by what the interval holds.
    """

    interval: Interval
    se_images: float | None
    p_value: float


@dataclass(frozen=True)
class MethodDifference:
    """One method minus another on one benchmark's main metric; weights drawn for each seed are a run per seed.

    Attributes:
        num_runs: of both.
        over_runs: None below three runs of either, and where no run differs from another.
        p_holm: corrected over all differences of methods in the suite.
        verdict: ``"better"``, ``"worse"``, ``"undecided"``, or :data:`ONE_CHECKPOINT`.
    """

    key: BenchmarkKey
    method: str
    other: str
    num_runs: tuple[int, int]
    difference: float
    over_runs: OverRuns | None
    p_holm: float | None
    verdict: str


@dataclass(frozen=True)
class _Runs:
    method: str
    means: list[float]
    draws: list[Draws] | None
    images: str
    has_failed: bool


@functools.lru_cache(maxsize=1)
def method_differences(report: Report) -> tuple[MethodDifference, ...]:
    """All pairs of methods on every benchmark, on protocol; none where no method has several runs."""
    if not methods(report):
        return ()
    found = []
    for suite in report.suites:
        results = [result for result in report.benchmarks if result.key.suite == suite]
        pairs = [(result, *pair) for result in results for pair in itertools.combinations(_methods_of(result), 2)]
        over_runs = [difference_over_runs(a.means, b.means, *_shared(a, b)) for _, a, b in pairs]
        corrected = holm([each.p_value if each else None for each in over_runs])
        for (result, ours, theirs), each, p_holm in zip(pairs, over_runs, corrected, strict=True):
            found.append(_difference(result, ours, theirs, each, p_holm))
    return tuple(found)


def difference_over_runs(
    values: Sequence[float], others: Sequence[float], draws: Sequence[Draws] = (), draws_of_others: Sequence[Draws] = ()
) -> OverRuns | None:
    """The mean of one sample of runs minus that of another.

    Args:
        values, others: each run's mean.
        draws, draws_of_others: each run's mean over the same draws of the images; empty where they are not known.
    """
    samples = [summarize(values), summarize(others)]
    if any(sample.n < MIN_TRIALS for sample in samples) or not any(sample.sd for sample in samples):
        return None
    from scipy.special import stdtr

    difference = float(np.mean(values) - np.mean(others))
    errors = [(sample.sd or 0.0) ** 2 / sample.n for sample in samples]
    squares = sum(error**2 / (sample.n - 1) for error, sample in zip(errors, samples, strict=True))
    images = _variance_of_images(draws, draws_of_others) if len(draws) and len(draws_of_others) else None
    half, p_value = 0.0, 0.0
    for variance in (sum(errors), sum(errors) + (images or 0.0)):
        degrees = variance**2 / squares
        half = max(half, t_quantile((1 + CONFIDENCE) / 2, degrees) * math.sqrt(variance))
        p_value = max(p_value, 2 * float(stdtr(degrees, -abs(difference) / math.sqrt(variance))))
    se_images = None if images is None else math.sqrt(images)
    return OverRuns(Interval(difference - half, difference + half), se_images, p_value)


def _variance_of_images(draws: Sequence[Draws], others: Sequence[Draws]) -> float:
    covariance = np.cov(np.stack([*draws, *others]))
    of_ours, of_theirs = covariance[: len(draws), : len(draws)], covariance[len(draws) :, len(draws) :]
    within = sum(float(each.sum() - np.trace(each)) / (len(each) * (len(each) - 1)) for each in (of_ours, of_theirs))
    return max(0.0, within - 2 * float(covariance[: len(draws), len(draws) :].mean()))


def _methods_of(result: BenchmarkResult) -> list[_Runs]:
    """The higher mean first."""
    found = [_runs(method, rows, result.main_metric) for method, rows in runs_of_methods(result).items()]
    return sorted(found, key=lambda each: -result.sign(result.main_metric) * float(np.mean(each.means)))


def _runs(method: str, rows: Sequence[ResultRow], metric: str) -> _Runs:
    has_failed = any(row.failed for row in rows)
    if len(rows) == 1 and is_drawn(rows[0]):
        values = rows[0].values(metric)
        known = [rows[0].resampled[seed] for seed in values if seed in rows[0].resampled]
        images = {each.images for each in known} if len(known) == len(values) else set()
        draws = [each.draws for each in known] if len(images) == 1 else None
        return _Runs(method, [*values.values()], draws, min(images, default=""), has_failed)
    means = [float(np.mean([*row.values(metric).values()])) for row in rows]
    over_images = run_draws(rows, metric)
    draws, images_of_runs = (over_images.draws, over_images.images) if over_images else (None, "")
    return _Runs(method, means, draws, images_of_runs, has_failed)


def _shared(ours: _Runs, theirs: _Runs) -> tuple[Sequence[Draws], Sequence[Draws]]:
    if ours.draws is None or theirs.draws is None or ours.images != theirs.images:
        return (), ()
    return ours.draws, theirs.draws


def _difference(
    result: BenchmarkResult, ours: _Runs, theirs: _Runs, over_runs: OverRuns | None, p_holm: float | None
) -> MethodDifference:
    difference = float(np.mean(ours.means) - np.mean(theirs.means))
    gain = result.sign(result.main_metric) * difference
    verdict = "undecided"
    if min(len(ours.means), len(theirs.means)) == 1:
        verdict = ONE_CHECKPOINT
    elif p_holm is not None and p_holm < ALPHA:
        verdict = without_survivors(
            "better" if gain > 0 else "worse", has_failed=ours.has_failed, other_has_failed=theirs.has_failed
        )
    bounds = difference_range(result.main_metric)
    return MethodDifference(
        key=result.key,
        method=ours.method,
        other=theirs.method,
        num_runs=(len(ours.means), len(theirs.means)),
        difference=difference,
        over_runs=over_runs and replace(over_runs, interval=over_runs.interval.within(*bounds)),
        p_holm=p_holm,
        verdict=verdict,
    )
