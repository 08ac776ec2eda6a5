"""Opens a data set of the table in ``configs/classification/datasets.py`` as its protocol splits it."""

from __future__ import annotations

import importlib
from pathlib import Path

from common.errors import UserError, unknown_name
from transfer.tasks.classification.dataset_row import DatasetRow, Split
from transfer.tasks.classification.datasets.listing import Listing
from transfer.tasks.classification.labelled import LabelledImages, Splits
from transfer.tasks.classification.ledger import SealedTest

_HERE = "transfer.tasks.classification.datasets"

# name of a loader to the module that has ``list_split(row, root, split) -> Listing``
LOADERS = {
    "image_folder": f"{_HERE}.image_folder",
    "food101": f"{_HERE}.food101",
    "cifar": f"{_HERE}.cifar",
    "sun397": f"{_HERE}.sun397",
    "cars": f"{_HERE}.cars",
    "aircraft": f"{_HERE}.aircraft",
    "voc2007": f"{_HERE}.voc2007",
    "dtd": f"{_HERE}.dtd",
    "pets": f"{_HERE}.pets",
    "caltech101": f"{_HERE}.caltech101",
    "flowers102": f"{_HERE}.flowers102",
}


def open_splits(name: str, root: Path) -> Splits:
    """The splits of a data set, its test images sealed.

    Args:
        name: a key of ``configs.classification.datasets.DATASETS``.
        root: the data set's folder, in its true on-disk layout.

    Raises:
        UserError: there is no data set of this name, or files are missing or damaged.
    """
    row = get_row(name)
    train = list_split(row, root, "train").labelled(f"{name} train")
    val = list_split(row, root, "val").labelled(f"{name} val") if row.official_val else None

    def load_test() -> LabelledImages:
        test = list_split(row, root, "test").labelled(f"{name} {row.test_split}")
        if test.classes != train.classes:
            strangers = ", ".join(sorted(set(test.classes) ^ set(train.classes))[:3])
            raise UserError(
                f"the training and test images of {row.title} in {root} have other classes (only one of them has "
                f"{strangers}): {row.guide.format(root=root)}"
            )
        return test

    return Splits(train=train, val=val, test=SealedTest(split=row.test_split, load=load_test))


def list_split(row: DatasetRow, root: Path, split: Split) -> Listing:
    """The images of one split, as the data set's own files list them; opens none of them, and no other split's list.

    Raises:
        DataFileError: a file that says what is in the split is missing or damaged.
    """
    return importlib.import_module(LOADERS[row.loader]).list_split(row, root, split)


def get_row(name: str) -> DatasetRow:
    """The row of a data set.

    Raises:
        UserError: there is no data set of this name.
    """
    from configs.classification.datasets import DATASETS

    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return DATASETS[name]
