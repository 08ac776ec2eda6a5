"""Measured figures in the form of the paper's tables of benchmarks (1 to 6), published rows apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transfer.report.compare.paper_forms import Form, PrintedRow, paper_forms
from transfer.report.compare.paper_rows import MeasuredRow, average, measured_rows, suites
from transfer.report.compare.results import Report
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.table import Column, Kind, RowGroup, Table, TableRow
from transfer.report.lay_out.tables import card_anchor, is_best
from transfer.report.read.published import fact_text, paper_id

FACT_TITLES = {"backbone": "Backbone", "epochs": "Epochs", "multi_crop": "Multi-crop"}


def paper_tables(report: Report) -> tuple[Table, ...]:
    """For each suite, the paper's tables of which at least one benchmark was run."""
    forms = paper_forms()
    return tuple(
        _table(report, suite, form, rows)
        for suite in suites(report)
        for form in forms
        if (rows := measured_rows(report, suite, form))
    )


def _table(report: Report, suite: str, form: Form, rows: Sequence[MeasuredRow]) -> Table:
    averaged = any(average(suite, form, row) for row in rows)
    main = {result.key.benchmark: result.main_metric for result in report.benchmarks if result.key.suite == suite}
    columns = [Column("Method", numeric=False)]
    columns += [Column(FACT_TITLES[name], numeric=name == "epochs") for name in form.facts]
    columns += [Column(place.title, strong=main.get(place.benchmark) == place.metric) for place in form.places]
    columns += [Column("Average")] if averaged else []
    groups = [RowGroup("Measured", tuple(_measured(report, suite, form, row, averaged) for row in rows))]
    if form.printed:
        heading = f"Published, not measured: Table {form.number} of {paper_id()}"
        groups.append(RowGroup(heading, tuple(_printed(form, averaged))))
    where = f"{suite}: " if len(suites(report)) > 1 else ""
    caption = f"{where}{form.title}, in the form of Table {form.number}: mean ± standard deviation (trials), in percent"
    if form.note:
        caption += f". {form.note}"
    if averaged:
        caption += ". Average: of all columns, for each seed that all of them have"
    return Table(caption, tuple(columns), tuple(groups))


def _measured(report: Report, suite: str, form: Form, row: MeasuredRow, averaged: bool) -> TableRow:
    cells = [row.label, *_facts(report, form, row)]
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
        cells.append(fmt.summary(figures))
        cards.append(card_anchor(result, run))
    if averaged:
        over_all = average(suite, form, row)
        cells.append(fmt.summary(over_all.summary) if over_all else fmt.NOTHING)
        cards.append(over_all.anchor if over_all else "")
    kind: Kind = "baseline" if row.first.is_baseline else "measured"
    return TableRow(tuple(cells), kind, frozenset(best), cell_cards=tuple(cards))


def _facts(report: Report, form: Form, row: MeasuredRow) -> Iterator[str]:
    """The architecture is in the records; the rest is known where the pre-training is among the folders."""
    known = {"backbone": row.first.arch, **report.evidence.pretraining_facts(row.first.weights.sha256)}
    for name in form.facts:
        yield fact_text(name, known[name]) if name in known else fmt.NOTHING


def _printed(form: Form, averaged: bool) -> Iterator[TableRow]:
    for row in form.printed:
        yield TableRow((row.method, *_printed_facts(form, row), *_printed_figures(form, row, averaged)), "published")


def _printed_facts(form: Form, row: PrintedRow) -> list[str]:
    return [fact_text(name, row.facts[name]) if name in row.facts else fmt.NOTHING for name in form.facts]


def _printed_figures(form: Form, row: PrintedRow, averaged: bool) -> list[str]:
    """As printed: one digit."""
    values = [row.values.get((place.benchmark, place.metric)) for place in form.places]
    return [fmt.number(value, digits=1) for value in [*values, *([row.average] if averaged else [])]]
