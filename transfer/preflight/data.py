"""The data doctor as the commands call it: before the first trial, with a bar."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from transfer.benchmarks import Benchmark
from transfer.doctor import check_before_trials
from transfer.trials.plan import data_root


def check_data(benchmark: Benchmark, data: Path | None, *, counts: bool = True) -> None:
    """Refuses data that are incomplete or damaged; the first time it reads every file.

    Args:
        data: the data set's folder as the user gave it, or None for the usual place.
        counts: also refuse another number of images than the protocol's.

    Raises:
        UserError: see :func:`transfer.doctor.check_before_trials`.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking the data")
        check_before_trials(
            benchmark,
            data_root(benchmark, data),
            counts=counts,
            progress=lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
        )
