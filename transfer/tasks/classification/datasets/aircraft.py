"""FGVC Aircraft: ``fgvc-aircraft-2013b/data/{images/*.jpg, variants.txt, images_variant_{train,val,test}.txt}``."""

from __future__ import annotations

from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home
from transfer.tasks.classification.datasets.labelled import LabelledImages


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """Lines are ``<number> <variant>``; a variant's name may have spaces. The classes are the 100 variants."""
    home = Home.find(row, root, "variants.txt", "fgvc-aircraft-2013b/data", "data")
    classes = home.lines("variants.txt")
    home.folder_of("images")
    path = home.file(f"images_variant_{split}.txt")
    numbers, _, variants = zip(*(line.partition(" ") for line in home.lines(path.name)), strict=True)
    labels = home.labels_of(path, variants, classes)
    return home.images(split, [f"images/{number}.jpg" for number in numbers], labels, classes)
