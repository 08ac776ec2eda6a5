"""Measured figures in the form of the paper's tables that hold several benchmarks side by side (1, 5, 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transfer.report import format as fmt
from transfer.report.published import PublishedRow, paper_id, tables_of_several_benchmarks
from transfer.report.results import BenchmarkResult, Report, Row
from transfer.report.table import Column, Kind, RowGroup, Table, TableRow
from transfer.report.tables import benchmark_label, card_anchor, is_best, row_label


@dataclass(frozen=True)
class Place:
    """A column: one metric of one benchmark."""

    benchmark: str
    metric: str


def paper_tables(report: Report) -> tuple[Table, ...]:
    """For each suite, the paper's tables of several benchmarks of which at least one was run."""
    suites = list(dict.fromkeys(result.key.suite for result in report.benchmarks))
    return tuple(
        _table(report, number, benchmarks, measured)
        for suite in suites
        for number, benchmarks in tables_of_several_benchmarks().items()
        if (measured := _measured(report, suite, benchmarks))
    )


def _measured(report: Report, suite: str, benchmarks: Sequence[str]) -> dict[str, BenchmarkResult]:
    return {
        result.key.benchmark: result
        for result in report.benchmarks
        if result.key.suite == suite and result.key.benchmark in benchmarks
    }


def _table(report: Report, number: int, benchmarks: Sequence[str], measured: dict[str, BenchmarkResult]) -> Table:
    published = {result.key.benchmark: result.published for result in measured.values() if result.published}
    places = [
        Place(benchmark, metric)
        for benchmark in benchmarks
        if benchmark in published
        for metric in dict.fromkeys(name for row in published[benchmark].rows for name in row.values)
    ]
    columns = [Column("Method", numeric=False)]
    for place in places:
        label = benchmark_label(report, measured[place.benchmark])
        main = measured[place.benchmark].main_metric == place.metric
        columns.append(Column(f"{label} {fmt.metric_title(place.metric)}", strong=main))
    printed = {benchmark: table.rows for benchmark, table in published.items()}
    heading = f"Published, not measured: Table {number} of {paper_id()}"
    groups = (
        RowGroup("Measured", tuple(_measured_rows(measured, places))),
        RowGroup(heading, tuple(_published_rows(printed, places))),
    )
    caption = f"In the form of Table {number}: mean ± sample standard deviation (trials), in percent"
    return Table(caption, tuple(columns), groups)


def _measured_rows(measured: dict[str, BenchmarkResult], places: Sequence[Place]) -> Iterator[TableRow]:
    """One row for each weights; what is off protocol has a row of its own, marked as everywhere."""
    found: dict[tuple[bool, bool, str], dict[str, Row]] = {}
    for benchmark, result in measured.items():
        for row in result.rows:
            name = (not row.procedure.on_protocol, not row.is_baseline, _label(row, found, benchmark))
            found.setdefault(name, {})[benchmark] = row
    for (_, not_baseline, label), rows in sorted(found.items()):
        cells, cards, best = [label], [""], set()
        for place in places:
            run, result = rows.get(place.benchmark), measured[place.benchmark]
            if run is None or place.metric not in run.metrics:
                cells.append(fmt.NOTHING)
                cards.append("")
                continue
            if is_best(run, result, place.metric):
                best.add(len(cells))
            cells.append(fmt.summary(run.metrics[place.metric]))
            cards.append(card_anchor(result, run))
        kind: Kind = "measured" if not_baseline else "baseline"
        yield TableRow(tuple(cells), kind, frozenset(best), cell_cards=tuple(cards))


def _label(row: Row, found: dict[tuple[bool, bool, str], dict[str, Row]], benchmark: str) -> str:
    """The weights with their marks, and the config where one benchmark has several rows of the same marks."""
    label = row_label(row)
    taken = found.get((not row.procedure.on_protocol, not row.is_baseline, label), {})
    return f"{label}, config {fmt.short_hash(row.procedure.config_sha256)}" if benchmark in taken else label


def _published_rows(printed: dict[str, tuple[PublishedRow, ...]], places: Sequence[Place]) -> Iterator[TableRow]:
    """Rows of one method and note over all benchmarks, in the paper's order."""
    found: dict[tuple[str, str], dict[str, PublishedRow]] = {}
    for benchmark, rows in printed.items():
        for row in rows:
            found.setdefault((row.method, row.note), {})[benchmark] = row
    for (method, note), by_benchmark in found.items():
        values = [
            by_benchmark[place.benchmark].values.get(place.metric) if place.benchmark in by_benchmark else None
            for place in places
        ]
        figures = [fmt.number(value, digits=1) for value in values]  # as printed
        yield TableRow((f"{method}, {note}" if note else method, *figures), "published")
