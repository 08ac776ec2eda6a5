"""What a person sees while trials run: a live table on a terminal, one line a trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common.cli import clock_text
from transfer.trials.board import DONE, ELSEWHERE, FAILED, REFUSED, RUNNING, WAITING, Board, Row
from transfer.trials.plan import TrialPlan

FRAME_LINES = 5  # the table's head and frame, and the line below it
STYLES = {WAITING: "dim", ELSEWHERE: "dim", RUNNING: "bold", DONE: "green", FAILED: "red", REFUSED: "red"}


class TrialsDisplay:
    """Context manager that is told what happens to each trial.

    Args:
        plans: of the trials that have no record yet.
        already_done: how many others have one.
        num_devices: trials at a time, for the ETA.
    """

    def __init__(self, plans: Sequence[TrialPlan], *, already_done: int, num_devices: int) -> None:
        self.board = Board([(plan.label, plan.benchmark.name) for plan in plans], num_devices=num_devices)
        self._console = Console(file=sys.stderr)
        self._already_done = already_done
        self._total = already_done + len(plans)
        self._num_ended = already_done
        self._live = Live(console=self._console, get_renderable=self._picture, refresh_per_second=2)

    def __enter__(self) -> TrialsDisplay:
        if self._already_done:
            self._console.print(f"{self._already_done} of {self._total} trials are recorded already", highlight=False)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def started(self, plan: TrialPlan, device: str) -> None:
        self.board.start(plan.label, device)

    def advanced(self, plan: TrialPlan, step: int, num_steps: int, what: str) -> None:
        self.board.advance(plan.label, step, num_steps, what)

    def waits(self, plan: TrialPlan) -> None:
        """It has been let go of by another runner."""
        self.board.move(plan.label, WAITING)

    def left(self, plan: TrialPlan, owner: str) -> None:
        """Another runner has it."""
        self.board.move(plan.label, ELSEWHERE, owner)
        self.line(f"{plan.label}: left to {owner}, which runs it")

    def ended(self, plan: TrialPlan, state: str, result: str) -> None:
        self._num_ended += 1
        self.board.move(plan.label, state, result)
        row = self.board.rows[plan.label]
        took = f"{row.ended - row.began:.0f} s; " if row.began else ""
        to_go = clock_text(self.board.all_seconds_left())
        self.line(f"[{self._num_ended}/{self._total}] {plan.label}: {state}, {result} ({took}{to_go} to go)")

    def line(self, text: str) -> None:
        """Says what the live table does not keep; on a terminal nothing."""
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _picture(self) -> Group:
        return picture(self.board, already_done=self._already_done, num_lines=self._console.height)


def picture(board: Board, *, already_done: int, num_lines: int) -> Group:
    """The table and the line below it, in at most ``num_lines`` lines; what does not fit is counted."""
    table = Table("trial", "state", "", "ETA", "device", box=None, pad_edge=False, expand=False)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    shown = _chosen(board, max(num_lines - FRAME_LINES, 3))
    for row in shown:
        eta = clock_text(board.seconds_left(row)) if row.state == RUNNING else ""
        table.add_row(row.label, Text(row.state, STYLES[row.state]), _detail(row), eta, row.device)
    folded = Text("  ".join(_folded(board, shown)), "dim", no_wrap=True, overflow="ellipsis")
    num_done, num_failed = len(board.of(DONE)) + already_done, len(board.of(FAILED, REFUSED))
    total = f"{num_done} of {len(board.rows) + already_done} done"
    failed = f", {num_failed} failed" if num_failed else ""
    bottom = Text(f"{total}{failed}, ETA {clock_text(board.all_seconds_left())}", "bold")
    return Group(table, folded, bottom)


def _detail(row: Row) -> Text:
    if row.state == RUNNING and row.num_steps:
        return Text(f"{row.detail} {row.step}/{row.num_steps}")
    if row.state == DONE and row.began:
        return Text(f"{row.detail} in {clock_text(row.ended - row.began)}")
    return Text(row.detail)


def _chosen(board: Board, num_rows: int) -> list[Row]:
    """Of as many as fit: all that run, then what failed, what others run, what was done last, what comes next.

    In this order from top to bottom: done, failed, elsewhere, running, waiting.
    """
    last_done = sorted(board.of(DONE), key=lambda row: row.ended)[::-1]
    by_worth = [
        *board.of(RUNNING),
        *board.of(FAILED, REFUSED)[::-1],
        *board.of(ELSEWHERE),
        *board.of(WAITING)[:2],
        *last_done,
    ]
    rank = (DONE, FAILED, REFUSED, ELSEWHERE, RUNNING, WAITING)
    return sorted(by_worth[:num_rows], key=lambda row: (rank.index(row.state), row.ended))


def _folded(board: Board, shown: Sequence[Row]) -> Iterator[str]:
    """How many of each state are not shown."""
    for state in STYLES:
        rest = len(board.of(state)) - sum(row.state == state for row in shown)
        if rest:
            yield f"+ {rest} {state}"
