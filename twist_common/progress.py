"""Progress of longer work, shown to a person."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterator

Progress = Callable[[int, int, str], None]  # things done, things in all, what is being done


class Pace:
    """How long a step takes, estimated from about the last half minute.

    The first step is not counted, and slow ones after it are soon forgotten: they load, compile and fill caches, and a
    time left that was reckoned from them would be several times too long.
    """

    MIN_SECONDS, WINDOW_SECONDS = 2.0, 30.0

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()  # when, and how many steps were done

    def add(self, now: float, step: int) -> None:
        """Notes that ``step`` steps are done at ``now``, in seconds."""
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] >= self.WINDOW_SECONDS:
            self._marks.popleft()

    def seconds_per_step(self, now: float) -> float | None:
        """Seconds per step; None if there are too few observations yet."""
        if not self._marks or self._marks[-1][1] == self._marks[0][1]:
            return None
        seconds = now - self._marks[0][0]
        return seconds / (self._marks[-1][1] - self._marks[0][1]) if seconds >= self.MIN_SECONDS else None


@contextlib.contextmanager
def progress_bar(title: str, *, stays: bool = False) -> Iterator[Progress]:
    """A progress bar on stderr, if that is a terminal; yields the function to call as the work proceeds.

    Args:
        stays: leave the bar on the terminal when the work is done.
    """
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    with progress.Progress(*columns, console=console, transient=not stays, disable=not console.is_terminal) as bar:
        task = bar.add_task(title)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


def clock_text(seconds: float | None) -> str:
    """``"1:02:03"``, ``"2:03"``, or ``"?"`` for None."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
