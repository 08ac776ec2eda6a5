"""SUN397: ``SUN397/a/abbey/sun_*.jpg`` and the lists of Partitions.zip; the first of its ten splits."""

from __future__ import annotations

from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages

LISTS = {"train": "Training_01.txt", "test": "Testing_01.txt"}
PLACES = ("Partitions", ".", "../Partitions", "..")  # from the folder of images, where the lists may have been unpacked


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """Lines of the lists are ``/a/abbey/sun_*.jpg``, those of ``ClassName.txt`` ``/a/abbey``."""
    home = Home.find(row, root, "a", "SUN397")
    places = PLACES if home.folder != root else PLACES[:2]  # nothing above the data root is looked at
    class_list, split_list = ([f"{place}/{name}" for place in places] for name in ("ClassName.txt", LISTS[split]))
    classes = [name.strip("/") for name in home.lines(*class_list)]
    names = [name.strip("/") for name in home.lines(*split_list)]
    labels = home.labels_of(home.file(*split_list), [name.rpartition("/")[0] for name in names], classes)
    return home.images(split, names, labels, classes)
