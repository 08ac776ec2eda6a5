"""``report.md``: reads well as text, renders on GitHub, shows the plots from files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transfer.report.draw.plot import Plot
from transfer.report.lay_out.document import Document
from transfer.report.lay_out.tables import Table

FIGURES = "report-figures"


def render_markdown(document: Document) -> str:
    """The report as GitHub-flavoured Markdown."""
    blocks = [f"# {escape(document.title)}", escape(" · ".join(document.lead)), *_notes(document.warnings)]
    if document.overview_table:
        blocks += ["## Overview", *([f"**{escape(document.headline)}**"] if document.headline else [])]
        blocks += [escape(document.claims_note), "\n".join(f"- {escape(claim)}" for claim in document.claims)]
        for table in document.matrices:
            blocks += _table(table)
        for plot in document.overviews:
            blocks += _image(plot)
        blocks += _table(document.overview_table)
        for table in document.rankings:
            blocks += _table(table)
    if document.methods:
        blocks.append("## Methods over their pre-training runs")
    for table in document.methods:
        blocks += _table(table)
    for section in document.sections:
        title = [escape(section.title)] if section.title != section.heading else []
        blocks += [f"## {escape(section.heading)}", *title, *_notes(section.notes), *map(escape, section.overlaps)]
        blocks += [*_image(section.plot), *_table(section.results)]
        blocks += _table(section.differences) if section.differences else []
        blocks += ["<details><summary>Every trial</summary>", *_table(section.trials), "</details>"]
    if document.paper:
        blocks.append("## Beside the paper")
    for table in document.paper:
        blocks += _table(table)
    if document.pretraining:
        shown = document.pretraining
        blocks += [
            "## Pre-training",
            *_image(shown.plot),
            *([escape(shown.note)] if shown.note else []),
            *_table(shown.runs),
        ]
    for ablation in document.ablations:
        blocks += [f"## {escape(ablation.heading)}", escape(ablation.subtitle), *_notes(ablation.notes)]
        blocks += [*_image(ablation.plot), *([escape(ablation.caption)] if ablation.caption else [])]
        blocks += [*_table(ablation.table), *_image(ablation.course)]
        blocks.append("\n".join(f"- {escape(line)}" for line in ablation.legend))
    if document.reading:
        blocks += ["## How to read this", *(f"**{term}.** {escape(text)}" for term, text in document.reading)]
    if document.provenance:
        blocks.append("## Provenance")
    for table in document.provenance:
        blocks += _table(table)
    return "\n\n".join(blocks) + "\n"


def _notes(notes: Sequence[str]) -> list[str]:
    return [f"> **Note:** {escape(note)}" for note in notes]


def _image(plot: Plot | None) -> list[str]:
    return [f"![{escape(plot.alt)}]({FIGURES}/{plot.name}.png)"] if plot else []


def _table(table: Table) -> list[str]:
    header = [f"**{escape(column.title)}**" if column.strong else escape(column.title) for column in table.columns]
    lines = [_line(header), _line(["---:" if column.numeric else "---" for column in table.columns])]
    for group in table.groups:
        if group.heading:
            lines.append(_line([f"**{escape(group.heading)}**"] + [""] * (len(table.columns) - 1)))
        for row in group.rows:
            marks = ["**" if index in row.best else "" for index in range(len(row.cells))]
            if row.kind in ("published", "inflated"):
                marks = ["*"] * len(row.cells)
            cells = zip(row.cells, marks, strict=True)
            lines.append(_line([f"{mark}{escape(cell)}{mark}" if cell else "" for cell, mark in cells]))
    return [escape(table.caption), "\n".join(lines)]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no markup, no HTML, no table cell of its own."""
    escaped = re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", re.sub(r"[^\S\u202f]+", " ", text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
