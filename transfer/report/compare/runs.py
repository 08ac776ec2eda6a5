"""Several pre-training runs of one method: what varies between the runs, between seeds, and with the test images.

Runs are declared by the names of their weights, ``METHOD@RUN``; a name without ``@`` is a method with one run, and its
figures hold for that checkpoint only. Seeds are nested in runs, and test images are crossed with both, so an interval
for new runs counts each run once, by its mean over the seeds (:mod:`~transfer.report.compare.images`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer.record_bounds import metric_range
from transfer.report.compare.images import Draws, ImagesInterval, images_interval
from transfer.report.compare.model import BenchmarkKey, BenchmarkResult, Report, ResultRow
from transfer.report.compare.statistics import MIN_TRIALS, Interval, summarize
from transfer.trial import RANDOM_PREFIX

RUN_MARK = "@"


@dataclass(frozen=True)
class Components:
    """Standard deviations of single values between runs and between seeds of one run; None where there is but one."""

    between_runs: float | None
    between_seeds: float | None


@dataclass(frozen=True)
class MethodSummary:
    """A method's main metric on one benchmark.

    Attributes:
        runs: labels of the weights.
        num_trials: over all runs.
        mean: of the runs' means.
        se_images: standard error of the mean that the test images make; None where their outcomes are not known.
        interval: 95 %, of the mean for new runs with new seeds, and for new images where ``se_images`` is known; None
            below three runs, but for weights that are drawn anew for each seed: then each seed is a run.
    """

    key: BenchmarkKey
    method: str
    runs: tuple[str, ...]
    num_trials: int
    mean: float
    components: Components
    se_images: float | None
    interval: Interval | None


def method_of(name: str) -> str:
    """The method that the weights of this name are a run of."""
    return name.partition(RUN_MARK)[0]


def is_drawn(row: ResultRow) -> bool:
    """Whether the weights are drawn at random, anew for each seed."""
    return row.trials[0].weights.source.startswith(RANDOM_PREFIX)


@functools.lru_cache(maxsize=1)
def methods(report: Report) -> tuple[MethodSummary, ...]:
    """Every method on every benchmark, on protocol; none where no method has several runs."""
    found = [summary for result in report.benchmarks for summary in _of_benchmark(result)]
    return tuple(found) if any(len(each.runs) > 1 for each in found) else ()


def runs_of_methods(result: BenchmarkResult) -> dict[str, list[ResultRow]]:
    """Method to its runs that have a figure on protocol."""
    rows: dict[str, list[ResultRow]] = {}
    for row in result.on_protocol:
        if row.values(result.main_metric):
            rows.setdefault(method_of(row.weights.name), []).append(row)
    return rows


def _of_benchmark(result: BenchmarkResult) -> list[MethodSummary]:
    return [_summary(result, method, runs) for method, runs in runs_of_methods(result).items()]


def _summary(result: BenchmarkResult, method: str, runs: Sequence[ResultRow]) -> MethodSummary:
    metric = result.main_metric
    values = [[*row.values(metric).values()][: 1 if row.deterministic else None] for row in runs]
    means = [float(np.mean(each)) for each in values]
    with_images = runs[0].with_images if len(runs) == 1 else _over_images(runs, metric, means)
    interval = None
    if len(runs) >= MIN_TRIALS or (len(runs) == 1 and is_drawn(runs[0])):
        of_seeds = runs[0].metrics[metric] if len(runs) == 1 else summarize(means)
        interval = with_images.interval if with_images else of_seeds.interval
        interval = interval and interval.within(*metric_range(metric))
    return MethodSummary(
        key=result.key,
        method=method,
        runs=tuple(row.label for row in runs),
        num_trials=sum(map(len, values)),
        mean=float(np.mean(means)),
        components=components(values),
        se_images=with_images.se_images if with_images else None,
        interval=interval,
    )


def _over_images(runs: Sequence[ResultRow], metric: str, means: Sequence[float]) -> ImagesInterval | None:
    found = run_draws(runs, metric)
    return images_interval(means, found.draws, found.num_images) if found else None


@dataclass(frozen=True)
class RunDraws:
    """Each run's mean over the same draws of the same images."""

    images: str
    num_images: int
    draws: list[Draws]


def run_draws(runs: Sequence[ResultRow], metric: str) -> RunDraws | None:
    """None where the outcomes of a trial are not known, or are of other images."""
    draws: list[Draws] = []
    images = set()
    for row in runs:
        known = [row.resampled.get(seed) for seed in row.values(metric)]
        found = [each for each in known if each is not None]
        if len(found) < len(known):
            return None
        images |= {(each.images, each.num_images) for each in found}
        draws.append(np.mean([each.draws for each in found], axis=0))
    if len(images) != 1:
        return None
    return RunDraws(*images.pop(), draws)


def components(values: Sequence[Sequence[float]]) -> Components:
    """Variance components of a one-way layout with runs as groups, by analysis of variance.

    The variance of the runs' means is the runs' own, and the seeds' divided by the number of seeds; with as many seeds
    in every run, and unless it would be below 0, that is what restricted maximum likelihood gives
    (Searle, Casella, McCulloch: Variance Components, 1992, sections 3.6 and 3.8).

    Args:
        values: of each run, one for each seed.
    """
    sizes = np.array([len(each) for each in values])
    means = np.array([np.mean(each) for each in values])
    rest: NDArray[np.float64] = np.concatenate(
        [np.asarray(each) - mean for each, mean in zip(values, means, strict=True)]
    )
    degrees = int(sizes.sum()) - len(sizes)
    seeds = float((rest**2).sum()) / degrees if degrees else None
    if len(means) < 2:
        return Components(None, None if seeds is None else math.sqrt(seeds))
    runs = float(means.var(ddof=1)) - (seeds or 0.0) * float(np.mean(1 / sizes))
    return Components(math.sqrt(max(0.0, runs)), None if seeds is None else math.sqrt(seeds))
