"""Measured figures in the form of the paper's tables of benchmarks (1 to 6), published rows apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from transfer.report.compare.model import Report
from transfer.report.compare.paper import (
    Average,
    AverageDifference,
    FilledForm,
    Form,
    MeasuredRow,
    Place,
    PrintedRow,
    filled_forms,
)
from transfer.report.compare.reproduction import Reproduction, reproductions
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import (
    Column,
    RowGroup,
    Table,
    TableRow,
    card_anchor,
    is_best,
    number_columns,
    plain_table,
    row_kind,
    row_label,
    text_columns,
)
from transfer.report.read.published import PublishedRow, fact_text, paper_id

FACT_TITLES = {"backbone": "Backbone", "epochs": "Epochs", "multi_crop": "Multi-crop"}
REPRODUCTION = (
    "Measured − published, in points and in standard deviations of the trials; agrees: no difference shown at 5 %, if "
    "published trials spread as these do"
)
DIFFERENCE_OF_AVERAGES = (
    "average minus the baseline's, paired by seed and by data set, in percentage points: mean, 95 % interval, paired t "
    "test over the seeds, for new trials on these data sets and images; one comparison alone, in no family"
)


def paper_tables(report: Report) -> tuple[Table, ...]:
    """For each suite, the paper's tables of which at least one benchmark was run."""
    return tuple(table for filled in filled_forms(report) for table in _tables(report, filled))


def measured_label(row: MeasuredRow) -> str:
    """As in the benchmarks' own tables, over all the benchmarks of the row."""
    return row_label(*row.rows) + (f", {row.mark}" if row.mark else "")


def place_title(form: Form, place: Place) -> str:
    """Heading of a column."""
    return place.label if form.averaged else f"{place.label} {fmt.metric_title(place.metric)}".strip()


def average_anchor(found: Average) -> str:
    """Id of the card that shows what was averaged."""
    title = f"{found.form.number} {found.form.title}"
    return f"average-{fmt.slug(found.suite, title, measured_label(found.row))}"


def _tables(report: Report, filled: FilledForm) -> Iterator[Table]:
    """The form, and what its averages differ by from the baseline's."""
    suite, form, rows = filled.suite, filled.form, filled.rows
    averaged = any(filled.averages)
    main = {result.key.benchmark: result.main_metric for result in report.benchmarks if result.key.suite == suite}
    columns = text_columns("Method")
    columns += [Column(FACT_TITLES[name], numeric=name == "epochs") for name in form.facts]
    columns += [Column(place_title(form, each), strong=main.get(each.benchmark) == each.metric) for each in form.places]
    columns += [Column("Average")] if averaged else []
    measured = (_measured(report, form, row, found, averaged) for row, found in zip(rows, filled.averages, strict=True))
    groups = [RowGroup("Measured", tuple(measured))]
    if form.printed:
        printed = []
        for row in form.printed:
            values = [row.values.get((place.benchmark, place.metric)) for place in form.places]
            values += [row.average] if averaged else []
            figures = [fmt.number(value, digits=1) for value in values]  # as printed: one digit
            method = f"{row.method} {row.mark}".rstrip()
            printed.append(TableRow((method, *_facts(form, row.facts), *figures), "published"))
        legend = "".join(f". {sign} {words}" for sign, words in form.marks.items())
        heading = f"Published, not measured: Table {form.number} of {paper_id()}{legend}"
        groups.append(RowGroup(heading, tuple(printed)))
    if reproduced := [line for row in rows for line in _reproduced(report, suite, form, row, averaged)]:
        groups.append(RowGroup(REPRODUCTION, tuple(reproduced)))
    where = f"{suite}: " if len(report.suites) > 1 else ""
    caption = f"{where}{form.title}, in the form of Table {form.number}: mean ± standard deviation (trials), in percent"
    if form.note:
        caption += f". {form.note}"
    if averaged:
        caption += ". Average: of all columns, for each seed that all of them have"
    yield Table(caption, tuple(columns), tuple(groups))
    if filled.differences:
        columns = [*text_columns("Weights − baseline"), *number_columns("Difference of averages, 95 % interval", "p")]
        lines = [_difference_of_averages(each) for each in filled.differences]
        yield plain_table(f"{where}{form.title}, {DIFFERENCE_OF_AVERAGES}", columns, lines)


def _measured(report: Report, form: Form, row: MeasuredRow, over_all: Average | None, averaged: bool) -> TableRow:
    """The architecture is in the records; other facts are known where the pre-training is among the folders."""
    first = row.rows[0]
    known = {"backbone": first.arch, **report.evidence.pretraining_facts(first.weights.sha256)}
    cells = [measured_label(row), *_facts(form, known)]
    cards, best = [""] * len(cells), set()
    for place in form.places:
        figures = row.summary(place)
        if figures is None or not figures.n:
            cells.append(fmt.NOTHING)
            cards.append("")
            continue
        result, run = row.runs[place.benchmark]
        if is_best(run, result, place.metric):
            best.add(len(cells))
        cells.append(fmt.summary(figures, len(run.failed)))
        cards.append(card_anchor(result, run))
    if averaged:
        cells.append(fmt.summary(over_all.summary if over_all else None))
        cards.append(average_anchor(over_all) if over_all else "")
    return TableRow(tuple(cells), row_kind(first), frozenset(best), cell_cards=tuple(cards))


def _difference_of_averages(each: AverageDifference) -> tuple[str, ...]:
    label = f"{measured_label(each.average.row)} − {each.baseline.row.rows[0].label}"
    return label, fmt.difference(each.difference.summary), fmt.p_value(each.difference.p_value)


def printed_label(row: PrintedRow) -> str:
    """The method with what the table says of it, e.g. ``"TWIST, ResNet-50, 800 epochs"``."""
    return PublishedRow(row.method, {}, facts=row.facts).label


def _reproduced(report: Report, suite: str, form: Form, row: MeasuredRow, averaged: bool) -> Iterator[TableRow]:
    """A line for each printed row that the weights are said to be."""
    for printed, found in itertools.groupby(reproductions(report, suite, form, row), key=lambda each: each.printed):
        by_place = {each.place: each for each in found}
        cells = [f"{measured_label(row)} − {printed_label(printed)}", *[""] * len(form.facts)]
        cards = [""] * len(cells)
        for place in form.places:
            each = by_place.get(place)
            cells.append(_agreement(each) if each else fmt.NOTHING)
            cards.append(card_anchor(*row.runs[place.benchmark]) if each else "")
        if averaged:
            cells.append("")
            cards.append("")
        yield TableRow(tuple(cells), cell_cards=tuple(cards))


def _agreement(each: Reproduction) -> str:
    """``"+0.42 (1.3 sd), agrees"``."""
    in_sd = "" if each.in_sd is None else f" ({fmt.number(each.in_sd, digits=1)} sd)"
    return f"{fmt.signed(each.difference)}{in_sd}, {each.verdict}"


def _facts(form: Form, known: Mapping[str, Any]) -> list[str]:
    return [fact_text(name, known[name]) if known.get(name) is not None else fmt.NOTHING for name in form.facts]
