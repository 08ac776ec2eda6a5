"""Every form of the report."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.report.compare.model import Report
from transfer.report.lay_out.document import build_document
from transfer.report.lay_out.strips import Strip
from transfer.report.write import data
from transfer.report.write.html import render_html
from transfer.report.write.latex import render_latex
from transfer.report.write.markdown import FIGURES, render_markdown
from twist_common.printable import printable

REPORT_HTML = "report.html"
REPORT_JSON = "report.json"
REPORT_SIGNATURE = f"{REPORT_JSON}.sig"  # by ssh-keygen's custom (:mod:`transfer.report.signature`)
REPORT_CSV, ABLATIONS_CSV, REPORT_TEX, REPORT_MD = "report.csv", "ablations.csv", "report.tex", "report.md"
TEXTS = (REPORT_CSV, ABLATIONS_CSV, REPORT_TEX, REPORT_MD, REPORT_HTML)  # beside the JSON


def render_files(report: Report, sources: Sequence[str], strips: Sequence[Strip | None] = ()) -> dict[str, bytes]:
    """File name to content of every form of the report; the page comes last.

    Args:
        sources: where the records are, relative to the files.
        strips: the pictures of the page (:func:`~transfer.report.lay_out.strips.build_strips`).
    """
    document = build_document(report, strips)
    texts = {REPORT_JSON: data.render_json(report, sources)}
    if report.benchmarks:
        texts[REPORT_CSV] = data.render_csv(report)
    if report.evidence.ablations:
        texts[ABLATIONS_CSV] = data.render_ablations_csv(report.evidence.ablations)
    texts |= {
        REPORT_TEX: render_latex(report),
        REPORT_MD: render_markdown(document),
        REPORT_HTML: render_html(document),
    }
    plots = {f"{FIGURES}/{plot.name}.png": plot.png for plot in document.plots}
    # JSON is for programs, and says names as they are.
    shown = {name: text if name == REPORT_JSON else printable(text) for name, text in texts.items()}
    return plots | {name: text.encode() for name, text in shown.items()}
