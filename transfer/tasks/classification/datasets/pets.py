"""Oxford-IIIT Pets: ``oxford-iiit-pet/{images/*.jpg, annotations/{trainval,test}.txt}``."""

from __future__ import annotations

from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages

LISTS = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """Lines are ``<breed>_<number> <class from 1> <species> <number>``; the classes are the 37 breeds."""
    home = Home.find(row, root, "annotations", "oxford-iiit-pet")
    home.folder_of("images")
    breeds = {label: name.rpartition("_")[0] for name, label in _read(home, LISTS["train"])}
    if sorted(breeds) != list(range(len(breeds))):
        raise home.damaged(home.file(LISTS["train"]), "its class numbers have gaps")
    pairs = _read(home, LISTS[split])
    names, labels = zip(*pairs, strict=True)
    if unknown := [name for name, label in pairs if breeds.get(label) != name.rpartition("_")[0]]:
        raise home.damaged(home.file(LISTS[split]), f"{unknown[0]} has the class number of another breed")
    classes = [breeds[label] for label in range(len(breeds))]
    return home.images(split, [f"images/{name}.jpg" for name in names], labels, classes)


def _read(home: Home, list_name: str) -> list[tuple[str, int]]:
    """(name, label from 0) of each image in a list."""
    lines = [line for line in home.lines(list_name) if not line.startswith("#")]
    try:
        return [(line.split()[0], int(line.split()[1]) - 1) for line in lines]
    except (IndexError, ValueError):
        raise home.damaged(home.file(list_name), "a line is not a name and a class number") from None
