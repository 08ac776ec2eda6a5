"""What may be averaged and compared, and what is compared with what, with Holm's correction over each table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.report.compare.model import BenchmarkResult, MetricInfo, Procedure, ResultRow, Weights
from transfer.report.compare.statistics import ALPHA, holm, paired_difference


def procedures(records: Sequence[TrialRecord]) -> dict[int, Procedure]:
    """The procedure of each done trial of one benchmark, by index in ``records``.

    The protocol is the benchmark's current version (for a benchmark that is not in the table: the newest seen)
    without differences. Trials that declare none and still resolved to different configs cannot all have run it:
    the config of most trials counts as the protocol, the others are off.
    """
    done = {index: record for index, record in enumerate(records) if record.status == "done"}
    if not done:
        return {}
    benchmark = BENCHMARKS.get(next(iter(done.values())).benchmark)
    version = benchmark.protocol_version if benchmark else max(each.protocol_version for each in done.values())
    configs = Counter(
        record.config_sha256
        for record in done.values()
        if record.protocol_version == version and not record.protocol_difference
    )
    protocol = max(configs, key=lambda sha256: (configs[sha256], sha256), default=None)
    found = {}
    for index, record in done.items():
        deviations = list(record.protocol_difference)
        if record.protocol_version != version:
            deviations.insert(0, f"protocol version {record.protocol_version}, current is {version}")
        if not deviations and record.config_sha256 != protocol:
            deviations.append(f"resolved config {record.config_sha256[:8]} differs from that of most trials")
        found[index] = Procedure(tuple(deviations), record.protocol_version, record.config_sha256)
    return found


def compare_with_baselines(
    rows: Sequence[ResultRow], metrics: Sequence[MetricInfo], baselines: set[Weights], wanted: float
) -> list[ResultRow]:
    """The rows with their differences to the baseline, corrected over all of them.

    Args:
        wanted: the difference that ``more_trials`` is about, in percentage points.
    """
    compared = []
    baseline_rows = [row for row in rows if row.weights in baselines]
    for row in rows:
        if row.weights in baselines:
            compared.append(replace(row, is_baseline=True))
        elif baseline := _baseline_of(row, baseline_rows):
            differences = {
                metric.name: paired_difference(row.values(metric.name), baseline.values(metric.name), wanted=wanted)
                for metric in metrics
            }
            compared.append(replace(row, baseline=baseline.label, differences=differences))
        else:
            compared.append(row)
    corrected = iter(holm([difference.p_value for row in compared for difference in row.differences.values()]))
    return [
        replace(
            row, differences={name: replace(each, p_holm=next(corrected)) for name, each in row.differences.items()}
        )
        for row in compared
    ]


def _baseline_of(row: ResultRow, baselines: Sequence[ResultRow]) -> ResultRow | None:
    """The baseline that ran the same procedure: with several, the one of the same architecture."""
    candidates = [each for each in baselines if each.procedure == row.procedure]
    same_arch = [each for each in candidates if each.arch == row.arch]
    return next((choice[0] for choice in (same_arch, candidates) if len(choice) == 1), None)


def correct_over_the_overview(results: Sequence[BenchmarkResult]) -> list[BenchmarkResult]:
    """The results with the p values of their main metrics corrected over all benchmarks."""
    compared = [
        row.differences[result.main_metric].p_value
        for result in results
        for row in result.rows
        if result.main_metric in row.differences
    ]
    remaining = iter(holm(compared))

    def corrected(main_metric: str, row: ResultRow) -> ResultRow:
        if main_metric not in row.differences:
            return row
        main = replace(row.differences[main_metric], p_holm_overview=next(remaining))
        return replace(row, differences=row.differences | {main_metric: main})

    return [replace(each, rows=tuple(corrected(each.main_metric, row) for row in each.rows)) for each in results]


def supported_best(rows: Sequence[ResultRow], metric: MetricInfo) -> ResultRow | None:
    """The on-protocol row that is better than each other one by the paired t test, Holm-corrected over them.

    None where there is no other row, where the test leaves one of them open, or where a pair has no test.
    """
    sign = 1 if metric.direction == "higher" else -1
    means = [(sign * (row.metrics[metric.name].mean or 0.0), row) for row in rows if row.metrics[metric.name].n]
    candidates = [(mean, row) for mean, row in means if row.procedure.on_protocol]
    if len(candidates) < 2:
        return None
    best = max(candidates, key=lambda each: each[0])[1]
    differences = [
        paired_difference(best.values(metric.name), row.values(metric.name)) for _, row in candidates if row is not best
    ]
    # Over the common seeds, which may be fewer than the means are over.
    is_ahead = all(sign * (each.summary.mean or 0.0) > 0 for each in differences)
    p_values = holm([each.p_value for each in differences])
    return best if is_ahead and all(p is not None and p < ALPHA for p in p_values) else None
