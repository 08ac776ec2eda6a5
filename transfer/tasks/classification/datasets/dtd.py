"""DTD: ``dtd/{images/<class>/*.jpg, labels/{train,val,test}1.txt}``; the first of its ten splits."""

from __future__ import annotations

from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """Lines of ``labels/<split>1.txt`` are ``<class>/<file>``; the classes are the folders of images, sorted."""
    home = Home.find(row, root, "labels", "dtd", "dtd/dtd")
    images = home.folder_of("images")
    classes = sorted(entry.name for entry in images.iterdir() if entry.is_dir())
    path = home.file(f"labels/{split}1.txt")
    names = home.lines(f"labels/{split}1.txt")
    labels = home.labels_of(path, [name.split("/")[0] for name in names], classes)
    return home.images(split, [f"images/{name}" for name in names], labels, classes)
