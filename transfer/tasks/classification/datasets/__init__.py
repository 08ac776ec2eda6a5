"""Opens a labelled data set (a row of :mod:`transfer.datasets`) as its protocol splits it."""

from __future__ import annotations

import importlib
from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.labelled import LabelledImages, SealedTest, Splits
from transfer.trial import Trial
from twist_common.errors import UserError


def splits_of(trial: Trial) -> Splits:
    """The splits of the trial's data set, its test images sealed.

    Raises:
        UserError: files are missing or damaged.
    """
    row = trial.benchmark.dataset
    assert isinstance(row, LabelledDataset), f"{trial.benchmark.name} needs a data set of labelled images"
    return open_splits(row, trial.data)


def open_splits(row: LabelledDataset, root: Path) -> Splits:
    """The splits of a data set, its test images sealed.

    Args:
        root: the data set's folder, in its true on-disk layout.

    Raises:
        UserError: files are missing or damaged.
    """
    train = list_split(row, root, "train")
    val = list_split(row, root, "val") if row.official_val else None

    def load_test() -> LabelledImages:
        test = list_split(row, root, "test")
        if test.classes != train.classes:
            strangers = ", ".join(sorted(set(test.classes) ^ set(train.classes))[:3])
            raise UserError(
                f"the training and test images of {row.title} in {root} have other classes (only one of them has "
                f"{strangers}): {row.guide.format(root=root)}"
            )
        return test

    return Splits(row=row, train=train, val=val, test=SealedTest(split=row.test_split, load=load_test))


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """The images of one split, as the data set's own files list them; opens none of them, and no other split's list.

    Raises:
        DataFileError: a file that says what is in the split is missing or damaged.
    """
    images: LabelledImages = importlib.import_module(f"{__name__}.{row.loader}").list_split(row, root, split)
    return images
