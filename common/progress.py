"""What a person sees of work that takes a while."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Progress = Callable[[int, int, str], None]  # things done, things in all, what is being done


@contextlib.contextmanager
def progress_bar(title: str, *, stays: bool = False) -> Iterator[Progress]:
    """A bar on stderr, if that is a terminal; yields what is to be called as the work goes on.

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
