"""``tools/report.sh``: records in, report out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from common import cli
from common.files import atomic_path, make_dir, write_text

if TYPE_CHECKING:
    from transfer.report.results import Report

COMMAND = "tools/report.sh"
REPORT_HTML = "report.html"


@dataclass
class Args:
    """Turns the records below the folders into report.html, .md, .csv, .tex and .json, and prints a summary.

    examples:
      tools/report.sh runs
      tools/report.sh runs /mnt/other/runs --out report --baseline moco_v2
    """

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUNS_DIR...")]]
    """Folders that hold records, at any depth."""
    out: Path | None = None
    """Where the report goes; by default the first folder."""
    baseline: str | None = None
    """Weights that the others are compared with; by default those whose name starts with "random"."""


def main(args: Args) -> int:
    from transfer.report.summary import summary_text

    report, page = write_report(args.runs, out=args.out, baseline=args.baseline)
    print(summary_text(report))
    print(page)
    return cli.EXIT_DONE


def write_report(runs: Sequence[Path], *, out: Path | None = None, baseline: str | None = None) -> tuple[Report, Path]:
    """Reads the records and writes every form of the report. Files whose content stays the same are left alone.

    Returns:
        The report and the path of its HTML page.

    Raises:
        UserError: see :func:`~transfer.report.collect.find_records` and :func:`~transfer.report.results.build_report`.
    """
    from transfer.report.collect import find_records
    from transfer.report.data import render_csv, render_json
    from transfer.report.document import build_document
    from transfer.report.html import render_html
    from transfer.report.latex import render_latex
    from transfer.report.markdown import FIGURES, render_markdown
    from transfer.report.results import build_report

    report = build_report(find_records(runs), baseline=baseline)
    folder = make_dir(out or runs[0])
    document = build_document(report)
    for plot in document.plots:
        _write_bytes(folder / FIGURES / f"{plot.name}.png", plot.png)
    write_text(folder / "report.json", render_json(report))
    write_text(folder / "report.csv", render_csv(report))
    write_text(folder / "report.tex", render_latex(report))
    write_text(folder / "report.md", render_markdown(document))
    write_text(folder / REPORT_HTML, render_html(document))
    return report, folder / REPORT_HTML


def _write_bytes(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
