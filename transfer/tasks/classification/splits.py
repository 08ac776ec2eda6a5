"""The data set of a trial."""

from __future__ import annotations

from transfer.tasks.classification.datasets import open_splits, row_of
from transfer.tasks.classification.labelled import Splits
from transfer.trial import Trial


def splits_of(trial: Trial) -> Splits:
    """The splits of the trial's data set, its test images sealed.

    Raises:
        UserError: files are missing or damaged.
    """
    return open_splits(row_of(trial.benchmark), trial.data)
