"""What is compared with what: each row with its baseline, the best row with all others, and Holm over each table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from transfer.report.compare.paired_tests import holm
from transfer.report.compare.statistics import ALPHA, PairedDifference, paired_difference

if TYPE_CHECKING:
    from transfer.report.compare.results import BenchmarkResult, MetricInfo, Row
    from transfer.report.read.trials import Weights

WANTED_DIFFERENCE = 1.0  # percentage point: what papers argue about


def compare_with_baselines(
    rows: Sequence[Row], metrics: Sequence[MetricInfo], baselines: set[Weights], wanted: float
) -> list[Row]:
    """The rows with their differences to the baseline, corrected over all of them.

    Args:
        wanted: the difference that ``more_trials`` is about, in percentage points.
    """
    compared = [_compare(row, rows, metrics, baselines, wanted) for row in rows]
    corrected = holm([difference.p_value for row in compared for difference in row.differences.values()])
    remaining = iter(corrected)
    return [
        replace(
            row,
            differences={name: replace(each, p_holm=next(remaining)) for name, each in row.differences.items()},
        )
        for row in compared
    ]


def _compare(
    row: Row, rows: Sequence[Row], metrics: Sequence[MetricInfo], baselines: set[Weights], wanted: float
) -> Row:
    if row.weights in baselines:
        return replace(row, is_baseline=True)
    baseline = _baseline_of(row, rows, baselines)
    if baseline is None:
        return row
    differences = {
        metric.name: paired_difference(row.values(metric.name), baseline.values(metric.name), wanted=wanted)
        for metric in metrics
    }
    return replace(row, baseline=baseline.label, differences=differences)


def _baseline_of(row: Row, rows: Sequence[Row], baselines: set[Weights]) -> Row | None:
    """The baseline that ran the same procedure: with several, the one of the same architecture."""
    candidates = [other for other in rows if other.weights in baselines and other.procedure == row.procedure]
    same_arch = [other for other in candidates if other.arch == row.arch]
    for choice in (same_arch, candidates):
        if len(choice) == 1:
            return choice[0]
    return None


def correct_over_the_overview(results: Sequence[BenchmarkResult]) -> list[BenchmarkResult]:
    """The results with the p values of their main metrics corrected over all benchmarks."""
    compared = [
        row.differences[result.main_metric].p_value
        for result in results
        for row in result.rows
        if result.main_metric in row.differences
    ]
    remaining = iter(holm(compared))

    def corrected(main_metric: str, row: Row) -> Row:
        if main_metric not in row.differences:
            return row
        main = replace(row.differences[main_metric], p_holm_overview=next(remaining))
        return replace(row, differences=row.differences | {main_metric: main})

    return [replace(each, rows=tuple(corrected(each.main_metric, row) for row in each.rows)) for each in results]


def supported_best(rows: Sequence[Row], metric: MetricInfo) -> Row | None:
    """The on-protocol row that is better than each other one by the paired t test, Holm-corrected over them.

    None where there is no other row, where the test leaves one of them open, or where a pair has no test.
    """
    candidates = [row for row in rows if row.procedure.on_protocol and row.metrics[metric.name].n]
    if len(candidates) < 2:
        return None
    best = max(candidates, key=lambda row: _signed_mean(row, metric))
    differences = [paired_difference(best.values(metric.name), row.values(metric.name)) for row in candidates]
    differences = [each for each, row in zip(differences, candidates, strict=True) if row is not best]
    p_values = holm([each.p_value for each in differences])
    shown = all(p is not None and p < ALPHA for p in p_values)
    return best if shown and all(_is_ahead(each, metric) for each in differences) else None


def _signed_mean(row: Row, metric: MetricInfo) -> float:
    mean = row.metrics[metric.name].mean
    assert mean is not None
    return mean if metric.direction == "higher" else -mean


def _is_ahead(difference: PairedDifference, metric: MetricInfo) -> bool:
    """Over the common seeds, which may be fewer than the means are over."""
    mean = difference.summary.mean
    return mean is not None and (mean > 0) == (metric.direction == "higher")
