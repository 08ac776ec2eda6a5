"""The forms of the paper's tables of benchmarks, 1 to 6: which columns, which published rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfer.report.lay_out import format as fmt
from transfer.report.read.published import PublishedRow, published_file, published_table


@dataclass(frozen=True)
class Place:
    """A column: one metric of one benchmark, under its heading."""

    benchmark: str
    metric: str
    title: str


@dataclass(frozen=True)
class PrintedRow:
    """A published method over all columns; ``values`` by benchmark and metric."""

    method: str
    facts: dict[str, Any]
    values: dict[tuple[str, str], float]
    average: float | None = None


@dataclass(frozen=True)
class Form:
    """One table of the paper.

    Attributes:
        facts: what it says of a method beside its figures, see :class:`~transfer.report.read.published.PublishedRow`.
        printed: the published rows; empty for the same form on the embedded data, where nothing was published.
        averaged: whether the mean over all columns ends a row.
        note: what the headings leave out.
    """

    number: int
    title: str
    facts: tuple[str, ...]
    places: tuple[Place, ...]
    printed: tuple[PrintedRow, ...]
    averaged: bool = False
    note: str = ""

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.benchmark for place in self.places))


def paper_forms() -> list[Form]:
    """In the paper's order, those of the embedded data behind the one that they follow."""
    forms = []
    for entry in published_file()["tables"]:
        if "matrix" in entry:
            forms.append(_matrix_form(entry))
            continue
        forms.append(_form(entry))
        if "digits" in entry:
            forms.append(_digits_form(entry))
    return forms


def _form(entry: Mapping[str, Any]) -> Form:
    benchmarks: dict[str, str] = entry["benchmarks"]
    return Form(
        number=entry["table"],
        title=entry["title"],
        facts=tuple(entry["facts"]),
        places=tuple(_place(name, metric, label) for name, label in benchmarks.items() for metric in _metrics_of(name)),
        printed=_printed(tuple(benchmarks)),
    )


def _digits_form(entry: Mapping[str, Any]) -> Form:
    """The same columns for the benchmarks of the embedded data."""
    pairs = zip(entry["digits"], entry["benchmarks"].items(), strict=False)  # the paper's table may have more
    return Form(
        number=entry["table"],
        title=f"{entry['title'].split(' on ')[0]} on digits",
        facts=tuple(name for name in entry["facts"] if name == "backbone"),
        places=tuple(
            _place(digits, metric, label) for digits, (paper, label) in pairs for metric in _metrics_of(paper)
        ),
        printed=(),
    )


def _matrix_form(entry: Mapping[str, Any]) -> Form:
    matrix = published_file()["matrices"][entry["matrix"]]
    places = tuple(
        Place(f"{data_set}-{entry['matrix']}", column["metric"], column["label"])
        for data_set, column in matrix["columns"].items()
    )
    printed = tuple(
        PrintedRow(
            row["method"],
            {},
            {(place.benchmark, place.metric): value for place, value in zip(places, row["values"], strict=True)},
            row["average"],
        )
        for row in matrix["rows"]
    )
    return Form(entry["table"], entry["title"], (), places, printed, averaged=True, note=entry["note"])


def _place(benchmark: str, metric: str, label: str) -> Place:
    return Place(benchmark, metric, f"{label} {fmt.metric_title(metric)}".strip())


def _metrics_of(benchmark: str) -> tuple[str, ...]:
    table = published_table(benchmark)
    assert table is not None, f"published.yaml has a table of {benchmark} and no row of it"
    return table.metrics


def _printed(benchmarks: tuple[str, ...]) -> tuple[PrintedRow, ...]:
    """Rows of one method, note and facts over all benchmarks, in the paper's order."""
    found: dict[str, tuple[PublishedRow, dict[tuple[str, str], float]]] = {}
    for benchmark in benchmarks:
        table = published_table(benchmark)
        for row in table.rows if table else ():
            _, values = found.setdefault(row.label, (row, {}))
            values |= {(benchmark, metric): value for metric, value in row.values.items()}
    return tuple(
        PrintedRow(f"{row.method}, {row.note}" if row.note else row.method, row.facts, values)
        for row, values in found.values()
    )
