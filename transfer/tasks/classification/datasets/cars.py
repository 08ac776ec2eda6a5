"""Stanford Cars: ``stanford_cars/{devkit, cars_train, cars_test, cars_test_annos_withlabels.mat}``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages

# The test list within the devkit has no labels; the one with labels was an archive of its own.
ANNOTATIONS = {
    "train": ("devkit/cars_train_annos.mat",),
    "test": ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"),
}


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """Annotations are records with ``fname`` and ``class``, from 1."""
    home = Home.find(row, root, "devkit", "stanford_cars")
    classes = [str(name) for name in home.matlab(home.file("devkit/cars_meta.mat"), "class_names")]
    path = home.file(*ANNOTATIONS[split])
    home.folder_of(f"cars_{split}")
    annotations = home.matlab(path, "annotations")
    if not {"fname", "class"} <= set(annotations.dtype.names or ()):
        raise home.damaged(path, "its annotations have no fname and class")
    labels = annotations["class"].astype(np.int64) - 1
    if not 0 <= labels.min() <= labels.max() < len(classes):
        raise home.damaged(path, f"a class is not from 1 to {len(classes)}")
    return home.images(split, [f"cars_{split}/{name}" for name in annotations["fname"]], labels, classes)
