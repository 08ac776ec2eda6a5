"""Tables free of markup, whose cells every writer shows; among them those of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from transfer.record import TrialRecord
from transfer.report.compare.model import BenchmarkResult, Floor, MetricInfo, Report, ResultRow
from transfer.report.compare.statistics import PairedDifference
from transfer.report.lay_out import format as fmt
from twist_common.files import sha256_text

MAX_SIDE_BY_SIDE = 6
IMAGES_TOO = "95 %, seeds and images"
P_IMAGES_TOO = "p, images too"
INFLATED = "Inflated references, not results: what the choice that is best on the test images would have given"
Kind = Literal["measured", "baseline", "inflated", "floor", "published"]


@dataclass(frozen=True)
class Column:
    """``strong`` marks the main metric, in the title."""

    title: str
    numeric: bool = True
    strong: bool = False


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        best: which cells hold a best value that the test supports.
        card: id of the card that shows where the figures come from.
        cell_cards: the same for each cell, where they come from several rows of the report.
    """

    cells: tuple[str, ...]
    kind: Kind = "measured"
    best: frozenset[int] = frozenset()
    card: str = ""
    cell_cards: tuple[str, ...] = ()

    def card_of(self, index: int) -> str:
        """Id of the cell's card; empty where nothing was measured."""
        return self.cell_cards[index] if self.cell_cards else self.card


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading; None for the first ones."""

    heading: str | None
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[RowGroup, ...]

    @property
    def dense(self) -> bool:
        """Whether a page has to save width, and a phone cannot show it as a table."""
        return len(self.columns) > MAX_SIDE_BY_SIDE


def plain_table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """A table of measured rows without headings between them."""
    return Table(caption, tuple(columns), (RowGroup(None, tuple(TableRow(tuple(row)) for row in rows)),))


def text_columns(*titles: str) -> list[Column]:
    return [Column(title, numeric=False) for title in titles]


def number_columns(*titles: str) -> list[Column]:
    return [Column(title) for title in titles]


def overview_table(report: Report, *, brief: bool = False) -> Table:
    """All benchmarks × weights: the main metric and its paired difference to the baseline. In brief, p is Holm's."""
    any_images = not brief and any(has_images(result) for result in report.benchmarks)
    numbers = number_columns("Mean ± sd (n)", "Difference to baseline, 95 % interval")
    numbers += number_columns(*([IMAGES_TOO] if any_images else []), *([] if brief else ["p"]), "p, Holm")
    numbers += text_columns("Verdict")
    groups = []
    for result in report.benchmarks:
        rows = []
        for row in result.rows:
            compared = row.differences.get(result.main_metric)
            difference = _difference(row, compared, result) if compared else "no baseline"
            cells = (
                row_label(row),
                fmt.summary(row.metrics.get(result.main_metric), len(row.failed)),
                "baseline" if row.is_baseline else difference,
                *([images_interval(compared)] if any_images else []),
                *([] if brief else [fmt.p_value(compared.p_value if compared else None)]),
                fmt.p_value(compared.p_holm if compared else None),
                (compared.verdict if compared else "") or fmt.NOTHING,
            )
            best = frozenset({1} if is_best(row, result, result.main_metric) else ())
            rows.append(TableRow(cells, row_kind(row), best, card_anchor(result, row)))
        groups.append(RowGroup(f"{benchmark_label(report, result)}: {main_metric_label(result)}", tuple(rows)))
    return Table("Main metric of every benchmark", (*text_columns("Weights"), *numbers), tuple(groups))


def _difference(row: ResultRow, compared: PairedDifference, result: BenchmarkResult) -> str:
    """With the number of pairs where one of the two means is over more trials."""
    pair = [each for each in result.rows if each is row or (each.is_baseline and each.procedure == row.procedure)]
    pairs, shown = compared.summary.n, fmt.difference(compared.summary)
    is_said = not compared.summary.interval or pairs == max(len(each.done) for each in pair)
    return shown if is_said else f"{shown} ({fmt.plural(pairs, 'pair')})"


def results_table(result: BenchmarkResult) -> Table:
    """Rows: weights, floors, published figures. Columns: metrics, and the interval of the main one."""
    main, names = result.main_metric, [metric.name for metric in main_first(result)]
    columns = text_columns("Weights")
    columns += [Column(metric_label(metric), strong=metric.name == main) for metric in main_first(result)]
    intervals = ["95 % interval", *([IMAGES_TOO] if has_images(result) else [])] if main in names else []
    columns[2:2] = [Column(title) for title in intervals]

    def cells(label: str, figures: Iterable[str], of_main: Sequence[str] = ("", "")) -> tuple[str, ...]:
        shown = [label, *figures]
        shown[2:2] = of_main[: len(intervals)]
        return tuple(shown)

    def measured(row: ResultRow) -> TableRow:
        seeds = fmt.interval(row.metrics[main], row.deterministic) if main in names else ""
        summaries = (fmt.summary(row.metrics[name], len(row.failed)) for name in names)
        figures = cells(row_label(row), summaries, (seeds, fmt.with_images(row.with_images)))
        best = [is_best(row, result, name) for name in names]
        best[1:1] = [False] * len(intervals)
        indices = frozenset(index for index, each in enumerate(best, start=1) if each)
        return TableRow(figures, row_kind(row), indices, card_anchor(result, row))

    def inflated(row: ResultRow) -> TableRow:
        """Never bold and in no comparison: test images do not measure a choice that has seen them."""
        label = f"{row_label(row)}, best choice on test"
        figures = cells(label, (fmt.summary(row.inflated.get(name)) for name in names))
        return TableRow(figures, "inflated", card=card_anchor(result, row))

    on_protocol = [measured(row) for row in result.rows if row.procedure.on_protocol]
    off_protocol = [measured(row) for row in result.rows if not row.procedure.on_protocol]
    floors = [
        TableRow(cells(f"{floor.name} (floor)", (floor_value(floor, name) for name in names)), "floor")
        for floor in result.floors
    ]
    groups: dict[str | None, list[TableRow]] = {
        None: on_protocol,
        "Off protocol: not comparable with the rows above": off_protocol,
        INFLATED: [inflated(row) for row in result.rows if row.inflated],
        "Floors: reached without training": floors,
    }
    if result.published:
        heading = f"Published, not measured: {result.published.source} ({result.published.setting})"
        groups[heading] = [  # as printed: one digit
            TableRow(cells(row.label, (fmt.number(row.values.get(name), digits=1) for name in names)), "published")
            for row in result.published.rows
        ]
    caption = f"Mean ± sample standard deviation (trials), {fmt.in_units(names)}"
    filled = (RowGroup(heading, tuple(rows)) for heading, rows in groups.items() if rows)
    return Table(caption, tuple(columns), tuple(filled))


def has_images(result: BenchmarkResult) -> bool:
    """Whether there is an interval for new test images."""
    return any(row.with_images for row in result.rows)


def images_interval(compared: PairedDifference | None) -> str:
    return fmt.with_images(compared.with_images if compared else None, is_difference=True)


def is_best(row: ResultRow, result: BenchmarkResult, metric: str) -> bool:
    """Whether the row is shown to be better than every other one on protocol; of the main metric alone."""
    return row.procedure.on_protocol and metric == result.main_metric and result.best == row.label


def row_kind(row: ResultRow) -> Kind:
    return "baseline" if row.is_baseline else "measured"


def card_anchor(result: BenchmarkResult, row: ResultRow) -> str:
    """Id of the card that shows where the row's figures come from."""
    return "card-" + sha256_text(repr((result.key, row.weights, row.procedure)))[:16]


def difference_table(result: BenchmarkResult, wanted: float) -> Table | None:
    """Every metric's paired difference to the baseline, the main metric first; None without a baseline.

    Args:
        wanted: the difference that the number of trials is given for, in percentage points.
    """
    columns = text_columns("Weights − baseline")
    any_images = has_images(result)
    columns += number_columns("Difference", "95 % interval", *([IMAGES_TOO] if any_images else []))
    columns += number_columns("p, t test", *([P_IMAGES_TOO] if any_images else []), "p, Holm", "p, sign flips")
    columns += number_columns("Smallest detectable", f"More trials to find {wanted:g}", "Common seeds", "r, efficiency")
    groups = []
    for metric in main_first(result):
        rows = []
        for row in result.rows:
            if row.baseline is None:
                continue
            compared = row.differences[metric.name]
            tested = compared.smallest_detectable is not None
            cells = (
                f"{row.label} − {row.baseline}" + ("" if row.procedure.on_protocol else f" ({fmt.OFF_PROTOCOL})"),
                fmt.signed(compared.summary.mean),
                fmt.signed_interval(compared.summary.interval),
                *([images_interval(compared)] if any_images else []),
                fmt.p_value(compared.p_value),
                *([fmt.p_value(compared.p_images)] if any_images else []),
                fmt.p_value(compared.p_holm),
                fmt.p_value(compared.p_sign_flip),
                fmt.number(compared.smallest_detectable),
                fmt.more_trials(compared.more_trials) if tested else fmt.NOTHING,
                _num_pairs(row, compared),
                _pairing(compared),
            )
            rows.append(TableRow(cells, card=card_anchor(result, row)))
        groups.append(RowGroup(metric_label(metric), tuple(rows)))
    unit = fmt.in_units((metric.name for metric in result.metrics), "in percentage points")
    caption = f"Paired differences over common seeds, {unit}"
    return Table(caption, tuple(columns), tuple(groups)) if any(group.rows for group in groups) else None


def _num_pairs(row: ResultRow, compared: PairedDifference) -> str:
    """How many pairs a difference is over, and what makes them fewer than they seem."""
    n = compared.summary.n
    if row.deterministic:
        return f"1 against {n}" if n > 1 else f"{n} (deterministic)"
    return f"{n} (identical)" if compared.summary.identical else f"{n}"


def _pairing(compared: PairedDifference) -> str:
    """``"0.61, ×2.4"``: correlation over the seeds, and how many unpaired trials a paired one is worth."""
    if compared.correlation is None or compared.efficiency is None:
        return fmt.NOTHING
    return f"{fmt.number(compared.correlation)}, ×{fmt.significant(compared.efficiency)}"


def trials_table(result: BenchmarkResult) -> Table:
    """Every trial's value of every metric, one row per trial."""
    names = [metric.name for metric in main_first(result)]
    columns = [Column(fmt.metric_title(name), strong=name == result.main_metric) for name in names]
    groups = []
    for row in result.rows:
        cells = [(str(trial.seed), *(trial_value(trial, name) for name in names)) for trial in row.done]
        cells += [(f"{trial.seed} (failed)", *[fmt.NOTHING] * len(names)) for trial in row.failed]
        card = card_anchor(result, row)
        groups.append(RowGroup(row_label(row), tuple(TableRow(each, card=card) for each in cells)))
    return Table(f"Every trial, {fmt.in_units(names)}", (*number_columns("Seed"), *columns), tuple(groups))


def trial_value(trial: TrialRecord, metric: str) -> str:
    return fmt.number(trial.metrics[metric].value) if metric in trial.metrics else fmt.NOTHING


def floor_value(floor: Floor, metric: str) -> str:
    """One value, or the lowest and highest where the trials' floors differ."""
    if metric not in floor.ranges:
        return fmt.NOTHING
    low, high = (fmt.number(value) for value in floor.ranges[metric])
    return low if low == high else f"{low} to {high}"


def row_label(*rows: ResultRow) -> str:
    """The weights of one row, or of the rows of several benchmarks, and what a reader must know first."""
    first = rows[0]
    failed, done = sum(len(row.failed) for row in rows), sum(len(row.done) for row in rows)
    marks = ["baseline"] if first.is_baseline else []
    marks += [] if first.procedure.on_protocol else [fmt.OFF_PROTOCOL]
    marks += [f"{failed} of {done + failed} failed"] if failed else []
    return f"{first.label} ({', '.join(marks)})" if marks else first.label


def metric_label(metric: MetricInfo) -> str:
    return fmt.metric_title(metric.name) + (" (lower is better)" if metric.direction == "lower" else "")


def main_metric_label(result: BenchmarkResult) -> str:
    """Title of the main metric, with its direction where that is unusual."""
    return next((metric_label(each) for each in result.metrics if each.name == result.main_metric), result.main_metric)


def benchmark_label(report: Report, result: BenchmarkResult) -> str:
    """The benchmark's name, with its suite where the report has several."""
    return f"{result.key.suite}/{result.key.benchmark}" if len(report.suites) > 1 else result.key.benchmark


def main_first(result: BenchmarkResult) -> list[MetricInfo]:
    return sorted(result.metrics, key=lambda metric: metric.name != result.main_metric)
