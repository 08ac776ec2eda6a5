"""``tools/report.sh``: records in, report out."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from twist_common import cli
from twist_common.errors import UserError
from twist_common.files import atomic_path, make_dir
from twist_common.printable import printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from transfer.report.compare.model import Report
    from transfer.report.lay_out.strips import Strip
    from transfer.report.lay_out.tables import Table
    from transfer.report.read.trials import FoundTrial

COMMAND = "tools/report.sh"
UNBOUND = 1000  # columns of a file, of which no table has as many
MAX_WHOLE = 18  # characters of a cell that is not wrapped, e.g. 28.51 ± 10.16 (5)


@dataclass
class Args:
    """Turns records into report.html, .md, .csv, .tex and .json, and prints a summary.

    examples:
      tools/report.sh runs
      tools/report.sh runs /mnt/other/runs --out report --baseline moco_v2
      tools/report.sh --verify runs/report.json          recomputes every figure from the records; 1 if one differs
      tools/report.sh --pack trials.tar.gz runs          records, report and manifest in one file
      tools/report.sh here.tar.gz there.tar.gz runs      one report over the records of several machines
      tools/report.sh --board results                    a leaderboard of a folder of records and archives
    """

    #: Folders that hold records, at any depth, and archives of them. What else they hold is shown too, also where there
    #: is no record: curves of pre-training runs, outcomes of tools/ablate.sh, counts of near-duplicates.
    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUNS_DIR|ARCHIVE...")]]
    out: Path | None = None
    """Where the report goes; by default the first folder, or report/ where only archives are given."""
    baseline: str | None = None
    """Weights that the others are compared with; by default the random ones, or without any the first of two."""
    difference: float = 1.0
    """Difference in percentage points to say the number of trials for."""
    margin: float | None = None
    """Differences below this, in percentage points, do not matter: shown to be so, two weights are "equivalent"."""
    declared: Annotated[tuple[str, ...], arg(name="as", metavar="WEIGHTS=METHOD")] = ()
    """Weights that are a method of the paper, e.g. mine=TWIST: its tables show measured − published, with a verdict."""
    #: Says what of this report, in any of its forms, does not follow from its records, or from those in RUNS_DIR if
    #: given; and which records, files beside them and lines of the runs' ledger contradict each other.
    verify: Annotated[Path | None, arg(metavar="REPORT.JSON|FOLDER|ARCHIVE")] = None
    #: Writes FOLDER/board.html, a leaderboard of all records and archives below FOLDER that hold; those that do not are
    #: named. --verify FOLDER/board.html renders it anew.
    board: Annotated[Path | None, arg(metavar="FOLDER")] = None
    pack: Annotated[Path | None, arg(metavar="ARCHIVE.tar.gz")] = None
    """Writes the records with their report into this file."""
    sign: Annotated[Path | None, arg(metavar="KEY")] = None
    """Signs report.json, which holds the hash of every record, with this SSH key (ssh-keygen -Y sign)."""
    #: With --verify: who may have signed, lines of a name and a public SSH key; without a signature of one of them the
    #: report does not hold.
    signers: Annotated[Path | None, arg(metavar="FILE")] = None


def main(args: Args) -> int:
    from transfer.report.write.board import BOARD_HTML

    for asked in args.declared:
        if "=" not in asked:
            raise UserError(f"--as takes WEIGHTS=METHOD, not {asked!r}: folders and archives come before it")
    if args.board is not None:
        return _board(args.board, args)
    if args.signers is not None and args.verify is None:
        raise UserError("--signers is for --verify: give --verify too, or leave it out")
    if args.verify is not None and args.verify.name == BOARD_HTML:
        return _verify_board(args.verify)
    if args.verify is not None:
        from transfer.report import verify

        found = verify.verify(args.verify, args.runs, args.signers)
        print(printable(verify.in_words(found, args.verify)))
        return cli.EXIT_DONE if found.holds else cli.EXIT_TRIAL_FAILED
    if args.pack is not None:
        from transfer.report.write.pack import RECORDS, outcome_files, pack

        report, strips, trials = _read(args.runs, args.baseline, args.difference, args.margin, args.declared)
        shown = [row for strip in strips if strip for row in strip.rows]
        files = _signed_files(report, [f"../{RECORDS}"], strips, args.sign)
        pack(args.pack, report.records, files, shown, report.evidence.files() | outcome_files(trials))
        size = args.pack.stat().st_size / 2**20
        print(f"{len(report.records)} records and their report: {args.pack} ({size:.1f} MiB)")
        return cli.EXIT_DONE
    report, page = write_report(
        args.runs,
        out=args.out,
        baseline=args.baseline,
        difference=args.difference,
        margin=args.margin,
        declared=args.declared,
        sign=args.sign,
    )
    print(printable(summary_text(report)))
    print(page)
    return cli.EXIT_DONE


def _board(folder: Path, args: Args) -> int:
    from transfer.report.write.board import write_board

    if args != Args(runs=(), board=folder):
        raise UserError("--board FOLDER goes with no other option: it reads that folder and writes board.html into it")
    board, page = write_board(folder)
    for line in (*board.left_out, *board.ledger):
        print(printable(f"  {line}"))
    print(", ".join(board.facts))
    print(page)
    return cli.EXIT_DONE


def _verify_board(page: Path) -> int:
    from transfer.report.write.board import board_faults

    faults = board_faults(page)
    for line in faults:
        print(printable(f"  {line}"))
    print(f"{page}: {'does not hold' if faults else 'follows from the records below its folder, whose seals hold'}")
    return cli.EXIT_TRIAL_FAILED if faults else cli.EXIT_DONE


def write_report(
    runs: Sequence[Path],
    *,
    out: Path | None = None,
    baseline: str | None = None,
    difference: float = 1.0,
    margin: float | None = None,
    declared: Sequence[str] = (),
    sign: Path | None = None,
) -> tuple[Report, Path]:
    """Reads the records and writes every form of the report. Files whose content stays the same are left alone.

    Evidence alone is reported too, e.g. the folder of one ``ablation.json``, whose runs are found by what it says.
    A signature of the report that was there before is removed.

    Args:
        sign: an SSH key to sign ``report.json`` with.

    Returns:
        The report and the path of its HTML page.

    Raises:
        UserError: see :func:`~transfer.report.read.trials.find_trials` and
            :func:`~transfer.report.compare.results.build_report`.
    """
    from transfer.report.write.forms import REPORT_HTML, REPORT_SIGNATURE

    report, strips, _ = _read(runs, baseline, difference, margin, declared)
    folder = make_dir(out or next((source for source in runs if source.is_dir()), Path("report")))
    sources = [Path(os.path.relpath(source, folder)).as_posix() for source in runs]
    files = {folder / name: content for name, content in _signed_files(report, sources, strips, sign).items()}
    with contextlib.ExitStack() as replacements:  # all are written before any is renamed, the page, entered first, last
        for path in reversed(files):
            if not path.is_file() or path.read_bytes() != files[path]:
                replacements.enter_context(atomic_path(path)).write_bytes(files[path])
    if not sign:
        (folder / REPORT_SIGNATURE).unlink(missing_ok=True)
    return report, folder / REPORT_HTML


def _signed_files(
    report: Report, sources: Sequence[str], strips: Sequence[Strip | None], key: Path | None
) -> dict[str, bytes]:
    from transfer.report.signature import sign
    from transfer.report.write.forms import REPORT_JSON, REPORT_SIGNATURE, render_files

    files = render_files(report, sources, strips)
    return ({REPORT_SIGNATURE: sign(files[REPORT_JSON], key)} if key else {}) | files  # the page stays last


def _read(
    runs: Sequence[Path], baseline: str | None, difference: float, margin: float | None, declared: Sequence[str]
) -> tuple[Report, tuple[Strip | None, ...], list[FoundTrial]]:
    from transfer.report.compare.results import build_report
    from transfer.report.lay_out.strips import build_strips
    from transfer.report.read.evidence import find_evidence
    from transfer.report.read.trials import find_trials, outcomes_of

    found = find_trials(runs)
    records = [trial.record for trial in found]
    evidence = find_evidence(runs)
    report = build_report(
        records,
        baseline=baseline,
        wanted=difference,
        margin=margin,
        declared=declared,
        evidence=evidence,
        outcomes=outcomes_of(found),
    )
    return report, build_strips(report, found), found


def summary_text(report: Report) -> str:
    """What a terminal shows at the end: sentences and tables of the overview, or without records the ablations.

    Plain text without spaces at the ends of lines. In a terminal the cells of a wider table are wrapped, and a table
    that is too wide all the same is left to the page; in a file it is as wide as it needs to be.
    """
    from rich.console import Console

    claims: list[str] = []
    shown: list[tuple[Table, ...]] = []  # each in its forms, the widest first
    if report.benchmarks:
        from transfer.report.lay_out.claims import claim, headline
        from transfer.report.lay_out.matrix import matrices
        from transfer.report.lay_out.methods import methods_tables
        from transfer.report.lay_out.tables import overview_table

        claims = [*filter(None, [headline(report)]), *(claim(report, result) for result in report.benchmarks)]
        shown = [*((each,) for each in matrices(report)), (overview_table(report), overview_table(report, brief=True))]
        shown += [(each,) for each in methods_tables(report)]
    else:
        from transfer.report.lay_out.ablations import ablation_table

        shown = [(ablation_table(each),) for each in report.evidence.ablations]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNBOUND
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None)
    buffer.writelines(f"{line}\n" for line in claims)
    for forms in shown:
        if table := next(filter(None, (_rich_table(form, width) for form in forms)), None):
            console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().strip("\n").splitlines())


def _rich_table(content: Table, width: int) -> RichTable | None:
    """As wide as it needs to be, or with wrapped titles and long cells; None where that is not enough."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table as RichTable
    from rich.text import Text

    titles = [column.title for column in content.columns]
    rows = [[f"  {row.cells[0]}", *row.cells[1:]] for group in content.groups for row in group.rows]
    rows += [[group.heading or "", *[""] * (len(titles) - 1)] for group in content.groups]
    columns = [(title, *cells) for title, *cells in zip(titles, *rows, strict=True)]
    widths = []
    for title, *cells in columns:
        whole = [[cell] if cell_len(cell) <= MAX_WHOLE else cell.split() for cell in cells]
        widths.append(max(cell_len(part) for parts in [title.split(), *whole] for part in parts))
    spare = width - sum(widths) - 3 * (len(columns) - 1) - 2  # spaces between columns, and at the sides
    if spare < 0:
        return None
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, texts, narrowest in zip(content.columns, columns, widths, strict=True):
        more = min(spare, max(map(cell_len, texts)) - narrowest)
        spare -= more
        table.add_column(column.title, justify="right" if column.numeric else "left", width=narrowest + more)
    for group in content.groups:
        table.add_row(Text(group.heading or "", style="bold"))
        for row in group.rows:
            table.add_row(Text(f"  {row.cells[0]}"), *map(Text, row.cells[1:]))
    return table


def run() -> None:
    cli.run(Args, main, prog=COMMAND)


if __name__ == "__main__":
    run()
