"""``report.tex``: booktabs tables, ready for ``\\input``; what is wider than the page is scaled down to it, what is
longer is split."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from transfer.report.compare.model import Report
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out import tables
from transfer.report.lay_out.matrix import matrices, ranking_tables
from transfer.report.lay_out.methods import methods_tables
from transfer.report.lay_out.paper_tables import paper_tables
from transfer.report.lay_out.tables import Column, RowGroup, Table
from twist_common.printable import printable

ESCAPES = {
    **{character: f"\\{character}" for character in "{}$&%#_"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "δ": r"$\delta$",
    "…": r"\ldots{}",
    "−": "$-$",
    "†": r"\dag{}",
    "–": "--",
    "\u202f": r"\,",
    "\ufffd": "?",
}

PREAMBLE = "% Written by tools/report.sh. Needs \\usepackage{booktabs} and \\usepackage{graphicx}."
# What pdfLaTeX has no glyph for, or none in its usual encoding (OT1), is shown by its number. Other engines never look
# these commands up.
GLYPH = r"\def\reportglyph#1#2{\ifcsname u8:\detokenize{#1}\endcsname\else\reportnumber{#1}{#2}\fi}"
NUMBER = r"\def\reportnumber#1#2{\expandafter\def\csname u8:\detokenize{#1}\endcsname{U+#2}}"
OLD_ENCODING = r"\edef\reportencoding{\encodingdefault}\def\reportold{OT1}"
NOT_IN_OT1 = frozenset("«»ÐÞðþĄąĐđĘęĮįŊŋŲųǪǫ˛‚„‹›")
MAX_ROWS = 40  # of a table on one page
MAX_FLOATS = 12  # in a row: LaTeX holds no more than 52 back, and wide ones seldom find a page
HEADING_CHARACTERS = 64  # as wide as the page
TITLE_CHARACTERS = 12  # of a line of a column's title, where there are many columns
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def render_latex(report: Report) -> str:
    """The tables of results, of differences and in the form of the paper's; see :data:`PREAMBLE` for what they need."""
    blocks: list[str] = []
    for index, table in enumerate(matrices(report), start=1):
        blocks += _pages(table, "Overview", f"tab:overview-{index}")
    for index, table in enumerate(ranking_tables(report), start=1):
        blocks += _pages(table, "Ranking", f"tab:ranking-{index}")
    for result in report.benchmarks:
        label = f"tab:{fmt.slug(result.key.suite, result.key.benchmark)}"
        blocks += _pages(tables.results_table(result), result.title, f"{label}-results")
        if differences := tables.difference_table(result, report.wanted):
            blocks += _pages(differences, result.title, f"{label}-differences")
    for index, table in enumerate(methods_tables(report), start=1):
        blocks += _pages(table, "Pre-training", f"tab:methods-{index}")
    for index, table in enumerate(paper_tables(report), start=1):
        blocks += _pages(table, "Beside the paper", f"tab:paper-{index}")
    for index, ablation in enumerate(report.evidence.ablations, start=1):
        from transfer.report.lay_out.ablations import ablation_table

        blocks += _pages(ablation_table(ablation), "Ablation", f"tab:ablation-{index}")
    for index in range(MAX_FLOATS, len(blocks), MAX_FLOATS):
        blocks[index] = f"\\clearpage\n{blocks[index]}"
    return "\n\n".join([PREAMBLE + _glyphs("".join(blocks)), *blocks]) + "\n"


def _glyphs(text: str) -> str:
    """Definitions for the characters of the text that pdfLaTeX may not know."""
    found = sorted({each for each in text if not each.isascii()})
    if not found:
        return ""
    lines = [NUMBER, GLYPH, OLD_ENCODING]
    for each in found:
        line = f"{{{each}}}{{{ord(each):04X}}}"
        only = rf"\ifx\reportencoding\reportold\reportnumber{line}\fi" if each in NOT_IN_OT1 else ""
        lines.append(only or rf"\reportglyph{line}")
    return "".join(f"\n{line}" for line in lines)


def escape(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(ESCAPES.get(each, each) for each in printable(re.sub(r"[^\S\u202f]+", " ", text)))


def _pages(table: Table, title: str, label: str) -> list[str]:
    """The table in parts that fit a page each: ``longtable``, which would break it too, cannot be scaled in width."""
    rows = [(index, row) for index, group in enumerate(table.groups) for row in group.rows]
    most = MAX_ROWS // 2 if table.dense else MAX_ROWS  # dense rows have two lines
    size = math.ceil(len(rows) / math.ceil(len(rows) / most))  # no part of a single row
    parts = []
    for start in range(0, len(rows), size):
        groups = [
            RowGroup(table.groups[index].heading, tuple(row for _, row in members))
            for index, members in itertools.groupby(rows[start : start + size], key=lambda each: each[0])
        ]
        part = replace(table, groups=tuple(groups))
        parts.append(_table(part, f"{title} (continued)" if start else title, f"{label}-{start}" if start else label))
    return parts


def _table(table: Table, title: str, label: str) -> str:
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape(f'{title}: {table.caption[0].lower()}{table.caption[1:]}')}}}",
        rf"\label{{{label}}}",
        FIT,
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(_title(column, dense=table.dense) for column in table.columns) + r" \\",
    ]
    for group in table.groups:
        lines.append(r"\midrule")
        for part in textwrap.wrap(group.heading or "", HEADING_CHARACTERS):
            # Of no width of its own: a long one must not stretch the last column.
            heading = rf"\makebox[0pt][l]{{\emph{{{escape(part)}}}}}"
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{l}}{{{heading}}} \\")
        lines += [_row(row.cells, row.best, dense=table.dense) for row in group.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"])


def _title(column: Column, *, dense: bool) -> str:
    lines = textwrap.wrap(column.title, TITLE_CHARACTERS, break_long_words=False) if dense else [column.title]
    text = r"\\".join(map(escape, lines))
    return rf"\shortstack[{'r' if column.numeric else 'l'}]{{{text}}}" if len(lines) > 1 else text


def _row(cells: Sequence[str], best: frozenset[int] = frozenset(), *, dense: bool = False) -> str:
    return " & ".join(_cell(cell, bold=index in best, dense=dense) for index, cell in enumerate(cells)) + r" \\"


def _cell(text: str, *, bold: bool, dense: bool) -> str:
    mean, sign, spread = text.partition(" ± ")
    if dense and sign:  # the spread under the mean
        return rf"\shortstack[r]{{{_cell(mean, bold=bold, dense=False)}\\{{\scriptsize {escape(f'± {spread}')}}}}}"
    if bold:
        return rf"\textbf{{{escape(text)}}}"
    # A row that begins with [ would be read as the length that \\ takes.
    return "{" + escape(text) + "}" if text.startswith("[") else escape(text)
