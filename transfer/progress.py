"""What a person sees while trials run: bars with an ETA on a terminal, one line a trial elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrialsDisplay:
    """Context manager; ``started``, ``advanced`` and ``ended`` are told what happens to each trial."""

    def __init__(self, *, total: int, already_done: int) -> None:
        self._console = Console(file=sys.stderr)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._total = total
        self._ended = already_done
        self._to_run = total - already_done
        self._started_at = time.monotonic()
        self._bars: dict[str, TaskID] = {}
        self._trial_started: dict[str, float] = {}
        self._all = self._progress.add_task("[bold]trials", total=total, completed=already_done)

    def __enter__(self) -> TrialsDisplay:
        if self._ended:
            self._console.print(f"{self._ended} of {self._total} trials are recorded already", highlight=False)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, label: str) -> None:
        self._trial_started[label] = time.monotonic()
        self._bars[label] = self._progress.add_task(f"  {label}", total=None)

    def advanced(self, label: str, done: int, total: int, what: str) -> None:
        self._progress.update(self._bars[label], completed=done, total=total, description=f"  {label} · {what}")

    def ended(self, label: str, status: str, result: str) -> None:
        self._ended += 1
        self._progress.remove_task(self._bars.pop(label))
        self._progress.advance(self._all)
        now = time.monotonic()
        run = self._ended - (self._total - self._to_run)
        eta = (now - self._started_at) / run * (self._to_run - run)
        seconds = now - self._trial_started.pop(label)
        self._console.print(
            f"[{self._ended}/{self._total}] {label}: {status}, {result} ({seconds:.0f} s; {_clock(eta)} to go)",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
