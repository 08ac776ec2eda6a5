"""The lists of images that Detectron2's configs name, read off the rows of the data sets. Imports no framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfer.datasets import DATASETS
from transfer.layouts import CocoBoxes, CocoFile, VocBoxes
from transfer.rows import DenseDataset

OWN_TRAIN, OWN_TEST = "own_train", "own_test"
OWN_YEAR = 2012  # average precision is the area under the curve, as in VOC from 2010 on


@dataclass(frozen=True)
class VocSplit:
    """A split of a VOC devkit; its folder is below the data root or below ``VOCdevkit`` there.

    Attributes:
        num_images: None for a part of a split.
        folder: see :class:`transfer.layouts.VocList`.
    """

    year: int
    split: str
    class_names: tuple[str, ...]
    num_images: int | None = None
    folder: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        if self.folder:
            return (self.folder,)
        return (f"VOCdevkit/VOC{self.year}", f"VOC{self.year}")

    @property
    def parts(self) -> tuple[str, ...]:
        return (f"ImageSets/Main/{self.split}.txt", "Annotations", "JPEGImages")


@dataclass(frozen=True)
class CocoSplit:
    """A split of COCO; the data root is COCO's folder or holds it as ``coco``."""

    file: CocoFile
    num_images: int
    class_names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ("coco", ".")

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.file.annotations, self.file.images)


Split = VocSplit | CocoSplit


def known_splits() -> dict[str, Split]:
    """Every split that a config may name in ``DATASETS``, e.g. ``voc_2007_test`` and ``digits_coco_2017_train``."""
    found: dict[str, Split] = {}
    for row in DATASETS.values():
        for layout in row.layouts if isinstance(row, DenseDataset) and not row.is_own else ():
            if isinstance(layout, VocBoxes):
                for lists, num_images in ((layout.train, layout.num_train), (layout.test, layout.num_test)):
                    for each in lists:
                        name = f"{layout.prefix}voc_{each.year}_{each.names}"
                        whole = num_images if len(lists) == 1 else None
                        found[name] = VocSplit(each.year, each.names, layout.class_names, whole)
            elif isinstance(layout, CocoBoxes):
                found[f"{layout.prefix}coco_2017_train"] = CocoSplit(layout.train, layout.num_train)
                found[f"{layout.prefix}coco_2017_val"] = CocoSplit(layout.test, layout.num_test)
    return found


def own_splits(own: Mapping[str, Any]) -> dict[str, Split]:
    """The splits of own data, from what a config says of them (:func:`transfer.tasks.detection.own.own_settings`)."""
    names, counts = tuple(own["CLASSES"]), own["NUM_IMAGES"]
    found: dict[str, Split] = {}
    for split, files, count in zip((OWN_TRAIN, OWN_TEST), (own["TRAIN"], own["TEST"]), counts, strict=True):
        if own["FORM"] == "COCO":
            found[split] = CocoSplit(CocoFile(*files), count, names)
        else:
            folder, image_list = files
            found[split] = VocSplit(OWN_YEAR, image_list, names, count, folder)
    return found
