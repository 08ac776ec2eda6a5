"""The paper's tables of benchmarks, 1 to 6: their columns, their published rows, and measured rows in the same form."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from transfer.report.compare.model import BenchmarkResult, Report, ResultRow
from transfer.report.compare.statistics import PairedDifference, SampleSummary, paired_difference, summarize
from transfer.report.read.published import PublishedRow, published_file, published_table


@dataclass(frozen=True)
class Place:
    """A column: one metric of one benchmark; ``label`` is what its heading says besides the metric."""

    benchmark: str
    metric: str
    label: str


@dataclass(frozen=True)
class PrintedRow:
    """A published method over all columns.

    Attributes:
        mark: the sign that the paper prints after it; :attr:`Form.marks` says what it means there.
        values: by benchmark and metric.
    """

    method: str
    mark: str
    facts: dict[str, Any]
    values: dict[tuple[str, str], float]
    average: float | None = None


@dataclass(frozen=True)
class Form:
    """One table of the paper.

    Attributes:
        facts: what it says about a method beside its figures, see
            :class:`~transfer.report.read.published.PublishedRow`.
        printed: the published rows; empty for the same form on the embedded data, where nothing was published.
        averaged: whether the mean over all columns ends a row; then the headings name no metric.
        note: what the headings do not say.
    """

    number: int
    title: str
    facts: tuple[str, ...]
    places: tuple[Place, ...]
    printed: tuple[PrintedRow, ...]
    averaged: bool = False
    note: str = ""

    @property
    def marks(self) -> dict[str, str]:
        """Signs in the printed rows to what they mean in the paper."""
        printed = {row.mark for row in self.printed}
        return {sign: words for sign, words in published_file()["paper"]["marks"].items() if sign in printed}

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.benchmark for place in self.places))

    def num_trials(self, benchmark: str) -> int:
        """Of how many trials the paper prints the mean; where it does not say, one."""
        table = published_table(benchmark)
        return table.num_trials if table else 1


@dataclass(frozen=True)
class MeasuredRow:
    """One initialisation over the benchmarks of a form; what is off protocol has rows of its own.

    Attributes:
        runs: by benchmark.
        mark: distinguishes several off-protocol rows of the same weights, e.g. ``"config bbbbbbbb"``; mostly empty.
    """

    runs: dict[str, tuple[BenchmarkResult, ResultRow]]
    mark: str

    @property
    def rows(self) -> list[ResultRow]:
        return [row for _, row in self.runs.values()]

    def values(self, place: Place) -> dict[int, float]:
        """Seed to figure; empty where it was not measured."""
        return self.runs[place.benchmark][1].values(place.metric) if place.benchmark in self.runs else {}

    def summary(self, place: Place) -> SampleSummary | None:
        return self.runs[place.benchmark][1].metrics.get(place.metric) if place.benchmark in self.runs else None


@dataclass(frozen=True)
class Average:
    """The mean over all columns of a form for each seed that every one of them has.

    Attributes:
        values: seed to mean.
        summary: of these means.
    """

    suite: str
    form: Form
    row: MeasuredRow
    values: dict[int, float]
    summary: SampleSummary

    @property
    def label(self) -> str:
        return self.row.rows[0].label


def paper_forms() -> list[Form]:
    """In the paper's order; those of the embedded data follow the ones they are modelled on."""
    forms = []
    for entry in published_file()["tables"]:
        labels: dict[str, str] = entry.get("benchmarks", {})
        averages = {}
        if name := entry.get("matrix"):  # one benchmark for each of eleven data sets
            matrix = published_file()["matrices"][name]
            labels = {f"{data_set}-{name}": column["label"] for data_set, column in matrix["columns"].items()}
            averages = {row["method"]: row["average"] for row in matrix["rows"]}
        number, title, facts = entry["table"], entry["title"], tuple(entry["facts"])
        places = _places((name, name, label) for name, label in labels.items())
        printed = _printed(labels, averages)
        forms.append(Form(number, title, facts, places, printed, bool(averages), entry.get("note", "")))
        if "digits" in entry:
            pairs = zip(entry["digits"], labels.items(), strict=False)  # the paper's table may have more columns
            places = _places((digits, paper, label) for digits, (paper, label) in pairs)
            only_backbone = tuple(name for name in facts if name == "backbone")
            forms.append(Form(number, f"{title.split(' on ')[0]} on digits", only_backbone, places, ()))
    return forms


def _places(columns: Iterable[tuple[str, str, str]]) -> tuple[Place, ...]:
    """One place for each metric that the paper prints.

    Args:
        columns: benchmark, the paper's benchmark in its place, and label.
    """
    found = []
    for benchmark, paper, label in columns:
        table = published_table(paper)
        assert table is not None, f"published.yaml has a table of {paper} and no row of it"
        found += [Place(benchmark, metric, label) for metric in table.metrics]
    return tuple(found)


def _printed(benchmarks: Iterable[str], averages: Mapping[str, float]) -> tuple[PrintedRow, ...]:
    """One row per method, note and facts over all benchmarks, in the paper's order."""
    found: dict[str, tuple[PublishedRow, dict[tuple[str, str], float]]] = {}
    for benchmark in benchmarks:
        table = published_table(benchmark)
        for row in table.rows if table else ():
            _, values = found.setdefault(row.label, (row, {}))
            values |= {(benchmark, metric): value for metric, value in row.values.items()}
    signs = {words: sign for sign, words in published_file()["paper"]["marks"].items()}
    return tuple(
        PrintedRow(
            method=f"{row.method}, {row.note}" if row.note and row.note not in signs else row.method,
            mark=signs.get(row.note, ""),
            facts=row.facts,
            values=values,
            average=averages.get(row.method),
        )
        for row, values in found.values()
    )


def _measured_rows(report: Report, suite: str, form: Form) -> list[MeasuredRow]:
    """One row for each weights, baselines first, off protocol last; none if no benchmark of the form was run."""
    found: dict[tuple[bool, bool, str, str], dict[str, tuple[BenchmarkResult, ResultRow]]] = {}
    for result in report.benchmarks:
        if result.key.suite != suite or result.key.benchmark not in form.benchmarks:
            continue
        for row in result.rows:
            rank = (not row.procedure.on_protocol, not row.is_baseline, row.label, "")
            if result.key.benchmark in found.get(rank, {}):  # several off-protocol rows of the same weights
                rank = (*rank[:3], f"config {row.procedure.config_sha256[:8] or '–'}")
            found.setdefault(rank, {})[result.key.benchmark] = (result, row)
    return [MeasuredRow(runs, mark) for (*_, mark), runs in sorted(found.items(), key=lambda each: each[0])]


def _average(suite: str, form: Form, row: MeasuredRow) -> Average | None:
    """None unless every column of the form was measured, with at least one seed in common."""
    columns = [row.values(place) for place in form.places]
    seeds = sorted(set.intersection(*(set(values) for values in columns))) if columns else []
    if not form.averaged or not seeds:
        return None
    values = {seed: fmean(column[seed] for column in columns) for seed in seeds}
    return Average(suite, form, row, values, summarize(list(values.values())).counted_once())


@dataclass(frozen=True)
class AverageDifference:
    """An average minus that of the baseline, over the seeds that all columns of both have.

    For each seed that is the mean of the differences column by column, so it is paired by seed and by data set. The
    test is over the seeds: for new trials on these very data sets and images. It is of one comparison alone.
    """

    average: Average
    baseline: Average
    difference: PairedDifference


def _average_differences(found: Sequence[Average]) -> list[AverageDifference]:
    """Of each average whose baseline, of all columns the same, has one in the same form; on protocol alone."""
    on_protocol = [each for each in found if all(row.procedure.on_protocol for row in each.row.rows)]
    by_label = {(each.suite, each.form.title, each.label): each for each in on_protocol}
    compared = []
    for each in on_protocol:
        names = {row.baseline for row in each.row.rows}
        baseline = by_label.get((each.suite, each.form.title, names.pop() or "")) if len(names) == 1 else None
        if baseline:
            pairs = paired_difference(each.values, baseline.values)
            compared.append(AverageDifference(each, baseline, replace(pairs, summary=pairs.summary.within(-100, 100))))
    return compared


@dataclass(frozen=True)
class FilledForm:
    """A form with what a suite measured of it.

    Attributes:
        averages: of each of the rows.
        differences: of the averages.
    """

    suite: str
    form: Form
    rows: tuple[MeasuredRow, ...]
    averages: tuple[Average | None, ...]
    differences: tuple[AverageDifference, ...]


@functools.lru_cache(maxsize=1)
def filled_forms(report: Report) -> tuple[FilledForm, ...]:
    """For each suite, the paper's tables of which at least one benchmark was run."""
    forms, found = paper_forms(), []
    for suite in report.suites:
        for form in forms:
            if rows := _measured_rows(report, suite, form):
                averages = tuple(_average(suite, form, row) for row in rows)
                differences = _average_differences([each for each in averages if each])
                found.append(FilledForm(suite, form, tuple(rows), averages, tuple(differences)))
    return tuple(found)


def averages(report: Report) -> Iterator[Average]:
    """Every average that the tables in the paper's form show."""
    return (each for filled in filled_forms(report) for each in filled.averages if each)
