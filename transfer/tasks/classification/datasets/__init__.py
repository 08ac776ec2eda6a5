"""Opens a labelled data set (a row of :mod:`transfer.datasets`) as its protocol splits it."""

from __future__ import annotations

import importlib
from pathlib import Path

from common.errors import UserError
from transfer.rows import Benchmark, LabelledDataset, Split
from transfer.tasks.classification.datasets.listing import Listing
from transfer.tasks.classification.labelled import LabelledImages, Splits
from transfer.tasks.classification.ledger import SealedTest


def row_of(benchmark: Benchmark) -> LabelledDataset:
    """The data set of a classification or clustering benchmark."""
    row = benchmark.dataset
    assert isinstance(row, LabelledDataset), f"{benchmark.name} needs a data set of labelled images"
    return row


def open_splits(row: LabelledDataset, root: Path) -> Splits:
    """The splits of a data set, its test images sealed.

    Args:
        root: the data set's folder, in its true on-disk layout.

    Raises:
        UserError: files are missing or damaged.
    """
    train = list_split(row, root, "train").labelled(f"{row.name} train")
    val = list_split(row, root, "val").labelled(f"{row.name} val") if row.official_val else None

    def load_test() -> LabelledImages:
        test = list_split(row, root, "test").labelled(f"{row.name} {row.test_split}")
        if test.classes != train.classes:
            strangers = ", ".join(sorted(set(test.classes) ^ set(train.classes))[:3])
            raise UserError(
                f"the training and test images of {row.title} in {root} have other classes (only one of them has "
                f"{strangers}): {row.guide.format(root=root)}"
            )
        return test

    return Splits(train=train, val=val, test=SealedTest(split=row.test_split, load=load_test))


def list_split(row: LabelledDataset, root: Path, split: Split) -> Listing:
    """The images of one split, as the data set's own files list them; opens none of them, and no other split's list.

    Raises:
        DataFileError: a file that says what is in the split is missing or damaged.
    """
    listing: Listing = importlib.import_module(f"{__name__}.{row.loader}").list_split(row, root, split)
    return listing
