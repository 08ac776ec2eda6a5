"""Caltech-101: ``caltech101/101_ObjectCategories/<class>/image_0001.jpg``, which has no split of its own."""

from __future__ import annotations

from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages
from twist_common.files import sha256_text

TRAIN_PER_CLASS = 30
IMAGES = "101_ObjectCategories"


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """30 images of each class for training, the rest for the test, the same in every trial and on every machine.

    The training images are those whose ``<class>/<file>`` has the smallest SHA-256: as good as drawn at random, without
    depending on any library's generator. Background (BACKGROUND_Google) is a class, as in SimCLR and BYOL: 3,060 images
    are 30 of each of 102. Files that are not JPEGs (BACKGROUND_Google/tmp) do not count.
    """
    home = Home.find(row, root, IMAGES, "caltech101", "caltech-101")
    images = home.folder_of(IMAGES)
    classes = sorted(entry.name for entry in images.iterdir() if entry.is_dir())
    if not classes:
        raise home.missing(f"{IMAGES}/<class>/")
    names: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(classes):
        ranked = sorted((f"{class_name}/{path.name}" for path in (images / class_name).glob("*.jpg")), key=sha256_text)
        chosen = sorted(ranked[:TRAIN_PER_CLASS] if split == "train" else ranked[TRAIN_PER_CLASS:])
        names += [f"{IMAGES}/{name}" for name in chosen]
        labels += [label] * len(chosen)
    return home.images(split, names, labels, classes)
