"""Oxford Flowers-102: ``flowers-102/{jpg/image_00001.jpg, imagelabels.mat, setid.mat}``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages

VARIABLES = {"train": "trnid", "val": "valid", "test": "tstid"}  # of setid.mat
NUM_CLASSES = 102


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """The classes are numbers from 1, as the data set names no flower.

    Both files hold all splits: of ``setid.mat`` the split's own variable is read and no other; of the labels, which are
    one array, those of the split's images are taken.
    """
    home = Home.find(row, root, "setid.mat", "flowers-102")
    home.folder_of("jpg")
    sets, label_file = home.file("setid.mat"), home.file("imagelabels.mat")
    numbers = home.matlab(sets, VARIABLES[split])
    labels = home.matlab(label_file, "labels")
    if numbers.dtype.kind not in "iu" or not 1 <= numbers.min() <= numbers.max() <= len(labels):
        raise home.damaged(sets, f"{VARIABLES[split]} numbers images that have no label")
    chosen = labels[numbers.astype(np.int64) - 1].astype(np.int64) - 1
    if not 0 <= chosen.min() <= chosen.max() < NUM_CLASSES:
        raise home.damaged(label_file, f"a label is not from 1 to {NUM_CLASSES}")
    classes = [str(number) for number in range(1, NUM_CLASSES + 1)]
    return home.images(split, [f"jpg/image_{number:05d}.jpg" for number in numbers], chosen, classes)
