"""The data doctor before the first trial, with a bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from transfer.doctor import check_before_trials
from transfer.trials.plan import TrialPlan

# Settings by which a trial asks for other data than its protocol's.
DATA_SETTINGS = ("DATASETS.", "num_images", "train_dataloader.dataset", "test_dataloader.dataset")


def check_data(plans: Sequence[TrialPlan]) -> None:
    """Refuses data that are incomplete or damaged; the first time it reads every file.

    Another number of images than the protocol's is refused unless an override asks for other data.

    Raises:
        UserError: see :func:`transfer.doctor.check_before_trials`.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking the data")
        for row, root, overrides in {(plan.benchmark.dataset, plan.data, plan.overrides): None for plan in plans}:
            check_before_trials(
                row,
                root,
                counts=not any(override.startswith(DATA_SETTINGS) for override in overrides),
                progress=lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
            )
