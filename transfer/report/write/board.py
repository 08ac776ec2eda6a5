"""``board.html``: a folder of records as one page that needs nothing else (``tools/report.sh --board``)."""

from __future__ import annotations

from pathlib import Path

from transfer.report.lay_out.board import Board, build_board
from transfer.report.read.board import find_board
from transfer.report.write.html import render_page
from twist_common.files import write_text
from twist_common.printable import printable
from twist_common.strict_json import read_bounded

BOARD_HTML = "board.html"


def render_board(folder: Path) -> tuple[Board, str]:
    """What the folder's records give, and its page.

    Raises:
        UserError: see :func:`~transfer.report.read.board.find_board`.
    """
    board = build_board(find_board(folder))
    text = render_page("board.html", ["report.css", "board.css"], ["sort.js", "board.js"], board=board)
    return board, printable(text)


def write_board(folder: Path) -> tuple[Board, Path]:
    """Writes the page into the folder, unless it is there already."""
    board, text = render_board(folder)
    page = folder / BOARD_HTML
    if not page.is_file() or page.read_bytes() != text.encode():
        write_text(page, text)
    return board, page


def board_faults(page: Path) -> list[str]:
    """A line for each record that does not hold, and one if the page is not what the others give."""
    board, text = render_board(page.parent)
    lines = [*board.left_out, *board.ledger]
    if read_bounded(page) != text.encode():
        lines.insert(0, f"{page.name}: not what the records give (edited, or of other records or another version)")
    return lines
