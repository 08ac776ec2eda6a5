"""``report.tex``: one booktabs table per benchmark, ready for ``\\input``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transfer.report import format as fmt
from transfer.report import tables
from transfer.report.ablation_tables import ablation_table
from transfer.report.paper_tables import paper_tables
from transfer.report.results import BenchmarkResult, Report
from transfer.report.table import Table

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "\u202f": r"\,",
}


def render_latex(report: Report) -> str:
    """The tables of results, of differences and in the form of the paper's; needs ``\\usepackage{booktabs}``."""
    blocks = ["% Written by tools/report.sh. Needs \\usepackage{booktabs}."]
    for result in report.benchmarks:
        blocks.append(_table(tables.results_table(result), result.title, _label(report, result, "results")))
        differences = tables.difference_table(result, report.wanted)
        if differences:
            blocks.append(_table(differences, result.title, _label(report, result, "differences")))
    for index, table in enumerate(paper_tables(report), start=1):
        blocks.append(_table(table, "Beside the paper", f"tab:paper-{index}"))
    for index, ablation in enumerate(report.evidence.ablations, start=1):
        blocks.append(_table(ablation_table(ablation), "Ablation", f"tab:ablation-{index}"))
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(ESCAPES.get(character, character) for character in re.sub(r"[^\S\u202f]+", " ", text))


def _label(report: Report, result: BenchmarkResult, what: str) -> str:
    return f"tab:{fmt.slug(result.key.suite, result.key.benchmark)}-{what}"


def _table(table: Table, title: str, label: str) -> str:
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(f'{title}: {table.caption[0].lower()}{table.caption[1:]}')}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row([column.title for column in table.columns]),
    ]
    for group in table.groups:
        lines.append(r"\midrule")
        if group.heading:  # of no width of its own: a long one must not stretch the last column
            heading = rf"\makebox[0pt][l]{{\emph{{{escape(group.heading)}}}}}"
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{l}}{{{heading}}} \\")
        lines += [_row(row.cells, row.best) for row in group.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _row(cells: Sequence[str], best: frozenset[int] = frozenset()) -> str:
    return " & ".join(_cell(cell, bold=index in best) for index, cell in enumerate(cells)) + r" \\"


def _cell(text: str, *, bold: bool) -> str:
    if bold:
        return rf"\textbf{{{escape(text)}}}"
    # A row that begins with [ would be read as the length that \\ takes.
    return "{" + escape(text) + "}" if text.startswith("[") else escape(text)
