"""Measured rows over several benchmarks, for the tables in the paper's form, and their averages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from transfer.report.compare.paper_forms import Form, Place
from transfer.report.compare.results import BenchmarkResult, Report, Row
from transfer.report.compare.statistics import Summary, summarize
from transfer.report.lay_out import format as fmt


@dataclass(frozen=True)
class MeasuredRow:
    """One initialisation over the benchmarks of a form; what is off protocol has rows of its own."""

    label: str
    runs: dict[str, tuple[BenchmarkResult, Row]]

    @property
    def first(self) -> Row:
        return next(iter(self.runs.values()))[1]

    def values(self, place: Place) -> dict[int, float]:
        """Seed to figure; empty where it was not measured."""
        return self.runs[place.benchmark][1].values(place.metric) if place.benchmark in self.runs else {}

    def summary(self, place: Place) -> Summary | None:
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
    summary: Summary

    @property
    def anchor(self) -> str:
        """Id of the card that tells what was averaged."""
        title = f"{self.form.number} {self.form.title}"
        return f"average-{fmt.slug(self.suite, title, self.row.label)}"


def suites(report: Report) -> list[str]:
    return list(dict.fromkeys(result.key.suite for result in report.benchmarks))


def measured_rows(report: Report, suite: str, form: Form) -> list[MeasuredRow]:
    """One row for each weights, baselines first, off protocol last; none if no benchmark of the form was run."""
    found: dict[tuple[bool, bool, str, str], dict[str, tuple[BenchmarkResult, Row]]] = {}
    for result in report.benchmarks:
        if result.key.suite != suite or result.key.benchmark not in form.benchmarks:
            continue
        for row in result.rows:
            rank = (not row.procedure.on_protocol, not row.is_baseline, row.label, "")
            if result.key.benchmark in found.get(rank, {}):  # several off-protocol rows of the same weights
                rank = (*rank[:3], f", config {fmt.short_hash(row.procedure.config_sha256)}")
            found.setdefault(rank, {})[result.key.benchmark] = (result, row)
    return [MeasuredRow(_label(runs) + rank[3], runs) for rank, runs in sorted(found.items(), key=lambda each: each[0])]


def _label(runs: dict[str, tuple[BenchmarkResult, Row]]) -> str:
    """As :func:`~transfer.report.lay_out.tables.row_label`, over all the benchmarks."""
    rows = [row for _, row in runs.values()]
    marks = ["baseline"] if rows[0].is_baseline else []
    marks += [] if rows[0].procedure.on_protocol else [fmt.OFF_PROTOCOL]
    if failed := sum(len(row.failed) for row in rows):
        marks.append(f"{failed} of {failed + sum(len(row.done) for row in rows)} failed")
    return f"{rows[0].label} ({', '.join(marks)})" if marks else rows[0].label


def average(suite: str, form: Form, row: MeasuredRow) -> Average | None:
    """None unless every column of the form was measured, with a seed that all have."""
    columns = [row.values(place) for place in form.places]
    seeds = sorted(set.intersection(*(set(values) for values in columns))) if columns else []
    if not form.averaged or not seeds:
        return None
    values = {seed: fmean(column[seed] for column in columns) for seed in seeds}
    return Average(suite, form, row, values, summarize(list(values.values())))


def averages(report: Report, forms: list[Form]) -> Iterator[Average]:
    """Every average that the tables in the paper's form show."""
    for suite in suites(report):
        for form in forms:
            for row in measured_rows(report, suite, form):
                if found := average(suite, form, row):
                    yield found
