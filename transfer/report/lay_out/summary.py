"""The table that a terminal shows at the end."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from transfer.report.compare.results import Report
from transfer.report.lay_out import tables

if TYPE_CHECKING:
    from rich.table import Table


def summary_table(content: tables.Table) -> Table:
    """E.g. all benchmarks × weights: mean ± sd (n) of the main metric, and the paired difference with its interval."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    for column in content.columns:
        table.add_column(column.title, justify="right" if column.numeric else "left", no_wrap=True)
    for group in content.groups:
        table.add_row(Text(group.heading or "", style="bold"))
        for row in group.rows:
            first, *others = row.cells
            table.add_row(Text(f"  {first}"), *map(Text, others))
    return table


def summary_text(report: Report) -> str:
    """:func:`summary_table` as plain text, as wide as it needs to be, without spaces at the ends of lines.

    Without records, these are the tables of the ablations.
    """
    from rich.console import Console

    from transfer.report.lay_out.ablation_tables import ablation_table

    shown = [tables.overview_table(report)] if report.benchmarks else map(ablation_table, report.evidence.ablations)
    buffer = io.StringIO()
    for table in shown:
        Console(file=buffer, width=1000, color_system=None).print(summary_table(table))
    return "\n".join(line.rstrip() for line in buffer.getvalue().strip("\n").splitlines())
