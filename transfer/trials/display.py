"""What a person sees while trials run: a live table on a terminal, one line per trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from transfer.trials.board import DONE, ELSEWHERE, FAILED, REFUSED, RUNNING, WAITING, Board, BoardRow
from transfer.trials.plan import TrialPlan
from transfer.trials.summary import End, RunSummary
from twist_common.printable import printable
from twist_common.progress import clock_text

FRAME_LINES = 5  # the table's head and frame, and the line below it
STYLES = {WAITING: "dim", ELSEWHERE: "dim", RUNNING: "bold", DONE: "green", FAILED: "red", REFUSED: "red"}


class TrialsDisplay:
    """Context manager that shows, and counts in ``summary``, what happens to each trial.

    Args:
        plans: of the trials that have no record yet.
        summary: its ``skipped`` are those that have one.
        num_devices: trials at a time, for the ETA.
        after_benchmark: called when the last trial of a benchmark has ended; what it returns is printed.
    """

    def __init__(
        self,
        plans: Sequence[TrialPlan],
        summary: RunSummary,
        *,
        num_devices: int,
        after_benchmark: Callable[[], str] | None = None,
    ) -> None:
        self.board = Board([(plan.label, plan.benchmark.name) for plan in plans], num_devices=num_devices)
        self.summary = summary
        self._after_benchmark = after_benchmark
        self._console = Console(file=sys.stderr)
        self._total = summary.skipped + len(plans)
        self._num_ended = summary.skipped
        self._live = Live(
            console=self._console,
            get_renderable=lambda: picture(self.board, already_done=summary.skipped, num_lines=self._console.height),
            refresh_per_second=2,
        )

    def __enter__(self) -> TrialsDisplay:
        if skipped := self.summary.skipped:
            self._console.print(f"{skipped} of {self._total} trials are recorded already", highlight=False)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def started(self, plan: TrialPlan, device: str) -> None:
        self.board.start(plan.label, device)

    def left(self, plan: TrialPlan, owner: str) -> None:
        """Another runner has the trial."""
        self.board.move(plan.label, ELSEWHERE, owner)
        self.line(f"{plan.label}: left to {owner}, which runs it")

    def ended(self, plan: TrialPlan, end: End, result: str) -> None:
        """``result`` is the main metric, why the trial failed or was refused, or who else has done it."""
        self.summary.add(plan, end, result)
        self._num_ended += 1
        state = DONE if end == "done elsewhere" else end
        self.board.move(plan.label, state, result)
        row = self.board.rows[plan.label]
        took = f"{row.ended - row.began:.0f} s; " if row.began else ""
        to_go = clock_text(self.board.all_seconds_left())
        self.line(f"[{self._num_ended}/{self._total}] {plan.label}: {state}, {result} ({took}{to_go} to go)")
        left = {row.kind for row in self.board.of(WAITING, ELSEWHERE, RUNNING)}
        if self._after_benchmark and plan.benchmark.name not in left:
            self._console.print(printable(self._after_benchmark()), highlight=False, markup=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """Prints what the live table does not keep; on a terminal nothing."""
        if not self._console.is_terminal:
            self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def picture(board: Board, *, already_done: int, num_lines: int) -> Group:
    """The table and the line below it, in at most ``num_lines`` lines; trials that do not fit are counted."""
    table = Table("trial", "state", "", "ETA", "device", box=None, pad_edge=False, expand=False)
    for column in table.columns:
        column.no_wrap, column.overflow = column.header != "", "ellipsis"  # room is taken from the detail first
    shown = _chosen(board, max(num_lines - FRAME_LINES, 3))
    for row in shown:
        detail, eta = row.detail, ""
        if row.state == RUNNING:
            detail += f" {row.step}/{row.num_steps}" if row.num_steps else ""
            eta = clock_text(board.seconds_left(row))
        elif row.state == DONE and row.began:
            detail += f" in {clock_text(row.ended - row.began)}"
        label, state = Text(printable(row.label)), Text(row.state, STYLES[row.state])
        table.add_row(label, state, Text(printable(detail), no_wrap=True, overflow="ellipsis"), eta, row.device)
    hidden = {state: len(board.of(state)) - sum(row.state == state for row in shown) for state in STYLES}
    folded = "  ".join(f"+ {count} {state}" for state, count in hidden.items() if count)
    num_done, num_failed = len(board.of(DONE)) + already_done, len(board.of(FAILED, REFUSED))
    failed = f", {num_failed} failed" if num_failed else ""
    total = f"{num_done} of {len(board.rows) + already_done} done{failed}, ETA {clock_text(board.all_seconds_left())}"
    return Group(table, Text(folded, "dim", no_wrap=True, overflow="ellipsis"), Text(total, "bold"))


def _chosen(board: Board, num_rows: int) -> list[BoardRow]:
    """The ``num_rows`` rows that matter most: running, failed, run elsewhere, next to start, done last.

    From top to bottom they are done, failed, elsewhere, running, waiting.
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
