"""Food-101: ``food-101/{images/<class>/*.jpg, meta/{classes,train,test}.txt}``."""

from __future__ import annotations

from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """Lines of ``meta/<split>.txt`` are ``<class>/<number>``."""
    home = Home.find(row, root, "meta", "food-101")
    classes = home.lines("meta/classes.txt")
    home.folder_of("images")
    names = home.lines(f"meta/{split}.txt")
    labels = home.labels_of(home.file(f"meta/{split}.txt"), [name.split("/")[0] for name in names], classes)
    return home.images(split, [f"images/{name}.jpg" for name in names], labels, classes)
