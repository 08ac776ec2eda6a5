"""Opens a data set of the table in ``configs/classification/datasets.py`` as its protocol splits it."""

from __future__ import annotations

import importlib
from pathlib import Path

from common.errors import unknown_name
from transfer.classification.labelled import Splits

# name of a loader to the module that has ``open_splits(row, root) -> Splits``
LOADERS = {
    "image_folder": "transfer.classification.datasets.image_folder",
}


def open_splits(name: str, root: Path) -> Splits:
    """The splits of a data set, its test images sealed.

    Args:
        name: a key of ``configs.classification.datasets.DATASETS``.
        root: the data set's folder, in its true on-disk layout.

    Raises:
        UserError: there is no data set of this name, or files are missing or damaged.
    """
    from configs.classification.datasets import DATASETS

    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    row = DATASETS[name]
    return importlib.import_module(LOADERS[row.loader]).open_splits(row, root)
