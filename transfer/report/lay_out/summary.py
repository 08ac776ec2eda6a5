"""The table that a terminal shows at the end."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from transfer.report.compare.results import Report
from transfer.report.lay_out import tables

if TYPE_CHECKING:
    from rich.table import Table


def summary_table(report: Report) -> Table:
    """All benchmarks × weights: mean ± sd (n) of the main metric, and the paired difference with its interval."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    content = tables.overview_table(report)
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
    """:func:`summary_table` as plain text, as wide as it needs to be, without spaces at the ends of lines."""
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=1000, color_system=None).print(summary_table(report))
    return "\n".join(line.rstrip() for line in buffer.getvalue().strip("\n").splitlines())
