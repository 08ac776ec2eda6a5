"""The report's tables, free of markup: every writer shows these same cells."""

from __future__ import annotations

from common.files import sha256_text
from transfer.report.compare.results import BenchmarkResult, Floor, MetricInfo, Report, Row
from transfer.report.compare.statistics import ALPHA
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.table import Column, Kind, RowGroup, Table, TableRow

INFLATED = "Inflated references, not results: what the choice that is best on the test images would have given"


def overview_table(report: Report) -> Table:
    """All benchmarks × weights: the main metric and its paired difference to the baseline."""
    columns = (
        Column("Weights", numeric=False),
        Column("Mean ± sd (n)"),
        Column("Difference to baseline, 95 % interval"),
        Column("p"),
        Column("p, Holm"),
    )
    groups = tuple(
        RowGroup(
            f"{benchmark_label(report, result)}: {main_metric_label(result)}",
            tuple(_overview_row(row, result) for row in result.rows),
        )
        for result in report.benchmarks
    )
    return Table("Main metric of every benchmark", columns, groups)


def _overview_row(row: Row, result: BenchmarkResult) -> TableRow:
    compared = row.differences.get(result.main_metric)
    cells = (
        row_label(row),
        main_summary(row, result),
        difference_to_baseline(row, result),
        fmt.p_value(compared.p_value if compared else None),
        fmt.p_value(compared.p_holm_overview if compared else None),
    )
    best = frozenset({1} if _is_best_in_overview(row, result) else ())
    return TableRow(cells, "baseline" if row.is_baseline else "measured", best, card_anchor(result, row))


def results_table(result: BenchmarkResult) -> Table:
    """Rows: weights, floors, published figures. Columns: metrics, and the interval of the main one."""
    main = [metric for metric in result.metrics if metric.name == result.main_metric]
    metrics = main + [metric for metric in result.metrics if metric.name != result.main_metric]
    columns = [Column("Weights", numeric=False)]
    for metric in metrics:
        columns.append(Column(metric_label(metric), strong=metric in main))
        if metric in main:
            columns.append(Column("95 % interval"))
    groups = [
        RowGroup(None, tuple(_result_row(row, metrics, result) for row in result.rows if row.procedure.on_protocol)),
        RowGroup(
            "Off protocol: not comparable with the rows above",
            tuple(_result_row(row, metrics, result) for row in result.rows if not row.procedure.on_protocol),
        ),
        RowGroup(INFLATED, tuple(_inflated_row(row, metrics, result) for row in result.rows if row.inflated)),
        RowGroup(
            "Floors: reached without training", tuple(_floor_row(floor, metrics, result) for floor in result.floors)
        ),
    ]
    if result.published:
        groups.append(
            RowGroup(
                f"Published, not measured: {result.published.source} ({result.published.setting})",
                _published_rows(result, metrics),
            )
        )
    caption = "Mean ± sample standard deviation (trials), in percent"
    return Table(caption, tuple(columns), tuple(group for group in groups if group.rows))


def _result_row(row: Row, metrics: list[MetricInfo], result: BenchmarkResult) -> TableRow:
    cells, best = [row_label(row)], set()
    for metric in metrics:
        if is_best(row, result, metric.name):
            best.add(len(cells))
        cells.append(fmt.summary(row.metrics[metric.name]))
        if metric.name == result.main_metric:
            cells.append(fmt.interval(row.metrics[metric.name]))
    kind: Kind = "baseline" if row.is_baseline else "measured"
    return TableRow(tuple(cells), kind, frozenset(best), card_anchor(result, row))


def _inflated_row(row: Row, metrics: list[MetricInfo], result: BenchmarkResult) -> TableRow:
    """Never bold and in no comparison: a choice that has seen the test images is not measured by them."""
    cells = [f"{row_label(row)}, best choice on test"]
    for metric in metrics:
        cells.append(fmt.summary(row.inflated[metric.name]) if metric.name in row.inflated else fmt.NOTHING)
        if metric.name == result.main_metric:
            cells.append("")
    return TableRow(tuple(cells), "inflated", card=card_anchor(result, row))


def is_best(row: Row, result: BenchmarkResult, metric: str) -> bool:
    """Better than every other row on protocol, as far as a test can tell."""
    return row.procedure.on_protocol and result.best.get(metric) == row.label


def _is_best_in_overview(row: Row, result: BenchmarkResult) -> bool:
    """The p that stands beside the figure must show it too: the one corrected over all benchmarks."""
    judged = [each.differences.get(result.main_metric) for each in ([row] if row.baseline else result.rows)]
    p_values = [each.p_holm_overview for each in judged if each]
    return is_best(row, result, result.main_metric) and all(p is not None and p < ALPHA for p in p_values)


def card_anchor(result: BenchmarkResult, row: Row) -> str:
    """Id of the card that tells where the row's figures come from."""
    return "card-" + sha256_text(repr((result.key, row.weights, row.procedure)))[:16]


def _floor_row(floor: Floor, metrics: list[MetricInfo], result: BenchmarkResult) -> TableRow:
    cells = [f"{floor.name} (floor)"]
    for metric in metrics:
        cells.append(floor_value(floor, metric.name))
        if metric.name == result.main_metric:
            cells.append("")
    return TableRow(tuple(cells), "floor")


def floor_value(floor: Floor, metric: str) -> str:
    """One value, or the lowest and highest where the trials' floors differ."""
    if metric not in floor.ranges:
        return fmt.NOTHING
    low, high = (fmt.number(value) for value in floor.ranges[metric])
    return low if low == high else f"{low} to {high}"


def _published_rows(result: BenchmarkResult, metrics: list[MetricInfo]) -> tuple[TableRow, ...]:
    assert result.published is not None
    rows = []
    for published in result.published.rows:
        cells = [published.label]
        for metric in metrics:
            cells.append(fmt.number(published.values.get(metric.name), digits=1))  # as printed
            if metric.name == result.main_metric:
                cells.append("")
        rows.append(TableRow(tuple(cells), "published"))
    return tuple(rows)


def difference_table(result: BenchmarkResult, wanted: float) -> Table | None:
    """Every metric's paired difference to the baseline, the main metric first; None without a baseline.

    Args:
        wanted: the difference that the number of trials is said for, in percentage points.
    """
    columns = (
        Column("Metric", numeric=False),
        Column("Weights − baseline", numeric=False),
        Column("Difference"),
        Column("95 % interval"),
        Column("p, t test"),
        Column("p, Holm"),
        Column("p, sign flips"),
        Column("Smallest detectable"),
        Column(f"More trials for {wanted:g}"),
        Column("Common seeds"),
    )
    rows = tuple(
        TableRow(_difference_cells(row, metric), card=card_anchor(result, row))
        for metric in _main_first(result)
        for row in result.rows
        if row.baseline is not None
    )
    caption = "Paired differences over common seeds, in percentage points"
    return Table(caption, columns, (RowGroup(None, rows),)) if rows else None


def _difference_cells(row: Row, metric: str) -> tuple[str, ...]:
    compared = row.differences[metric]
    tested = compared.smallest_detectable is not None
    return (
        fmt.metric_title(metric),
        f"{row.label} − {row.baseline}" + ("" if row.procedure.on_protocol else f" ({fmt.OFF_PROTOCOL})"),
        fmt.signed(compared.summary.mean),
        fmt.signed_interval(compared.summary.interval),
        fmt.p_value(compared.p_value),
        fmt.p_value(compared.p_holm),
        fmt.p_value(compared.p_sign_flip),
        fmt.number(compared.smallest_detectable),
        fmt.more_trials(compared.more_trials) if tested else fmt.NOTHING,
        f"{compared.summary.n}" + (" (identical)" if compared.summary.identical else ""),
    )


def _main_first(result: BenchmarkResult) -> list[str]:
    names = [metric.name for metric in result.metrics]
    return sorted(names, key=lambda name: name != result.main_metric)


def trials_table(result: BenchmarkResult) -> Table:
    """Every trial's value of every metric, one row per trial."""
    columns = [Column("Seed")] + [
        Column(fmt.metric_title(name), strong=name == result.main_metric) for name in _main_first(result)
    ]
    groups = []
    for row in result.rows:
        rows = [
            TableRow(
                (
                    str(trial.seed),
                    *(
                        fmt.number(trial.metrics[name].value) if name in trial.metrics else fmt.NOTHING
                        for name in _main_first(result)
                    ),
                ),
                card=card_anchor(result, row),
            )
            for trial in row.done
        ]
        rows += [
            TableRow((f"{trial.seed} (failed)", *[fmt.NOTHING] * len(result.metrics)), card=card_anchor(result, row))
            for trial in row.failed
        ]
        groups.append(RowGroup(row_label(row), tuple(rows)))
    return Table("Every trial, in percent", tuple(columns), tuple(groups))


def row_label(row: Row) -> str:
    """The weights, and what a reader must know before reading the figures."""
    marks = []
    if row.is_baseline:
        marks.append("baseline")
    if not row.procedure.on_protocol:
        marks.append(fmt.OFF_PROTOCOL)
    if row.failed:
        marks.append(f"{len(row.failed)} of {len(row.done) + len(row.failed)} failed")
    return f"{row.label} ({', '.join(marks)})" if marks else row.label


def main_summary(row: Row, result: BenchmarkResult) -> str:
    """Mean ± sd (n) of the main metric."""
    figures = row.metrics.get(result.main_metric)
    return fmt.summary(figures) if figures else fmt.NOTHING


def difference_to_baseline(row: Row, result: BenchmarkResult) -> str:
    """The main metric's paired difference with its interval, or why there is none."""
    if row.is_baseline:
        return "baseline"
    compared = row.differences.get(result.main_metric)
    return fmt.difference(compared.summary) if compared else "no baseline"


def metric_label(metric: MetricInfo) -> str:
    return fmt.metric_title(metric.name) + (" (lower is better)" if metric.direction == "lower" else "")


def main_metric_label(result: BenchmarkResult) -> str:
    """Title of the main metric, with its direction where that is unusual."""
    return next((metric_label(m) for m in result.metrics if m.name == result.main_metric), result.main_metric)


def benchmark_label(report: Report, result: BenchmarkResult) -> str:
    """The benchmark's name, with its suite where the report has several."""
    several = len({each.key.suite for each in report.benchmarks}) > 1
    return f"{result.key.suite}/{result.key.benchmark}" if several else result.key.benchmark
