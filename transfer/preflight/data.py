"""The data doctor before the first trial, with a bar."""

from __future__ import annotations

from collections.abc import Sequence

from common.progress import progress_bar
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
    with progress_bar("checking the data") as progress:
        for row, root, overrides in {(plan.benchmark.dataset, plan.data, plan.overrides): None for plan in plans}:
            counts = not any(override.startswith(DATA_SETTINGS) for override in overrides)
            check_before_trials(row, root, counts=counts, progress=progress)
