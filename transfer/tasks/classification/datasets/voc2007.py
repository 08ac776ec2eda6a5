"""VOC2007 classification: ``VOCdevkit/VOC2007/ImageSets/Main/<class>_{train,val,test}.txt``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer.layouts import VOC_CLASSES
from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages

# as the lists have it: -1 absent, 1 present, 0 present, but only "difficult" instances of it
LABELS = {"-1": 0, "1": 1, "0": -1}


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """Labels are (N, 20): 1 present, 0 absent, -1 difficult, which is not counted."""
    home = Home.find(row, root, "ImageSets", "VOCdevkit/VOC2007", "VOC2007")
    home.folder_of("JPEGImages")
    names = [line.split()[0] for line in home.lines(f"ImageSets/Main/{split}.txt")]
    labels = np.stack([_column(home, name, split, names) for name in VOC_CLASSES], axis=1)
    return home.images(split, [f"JPEGImages/{name}.jpg" for name in names], labels, VOC_CLASSES)


def _column(home: Home, class_name: str, split: Split, names: list[str]) -> NDArray[np.int8]:
    """The labels of one class, (N,), in the order of the images."""
    list_name = f"ImageSets/Main/{class_name}_{split}.txt"
    path = home.file(list_name)
    try:
        found = {name: LABELS[label] for name, label in (line.split() for line in home.lines(list_name))}
    except (KeyError, ValueError):
        raise home.damaged(path, "a line is not an image and -1, 0 or 1") from None
    if found.keys() != set(names):
        raise home.damaged(path, f"it does not list the images of {split}.txt")
    return np.array([found[name] for name in names], dtype=np.int8)
