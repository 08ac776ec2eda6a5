"""The lists of images that Detectron2's configs name, read off the rows of the data sets. Imports no framework."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.datasets import DATASETS
from transfer.rows import CocoBoxes, DenseDataset, VocBoxes


@dataclass(frozen=True)
class VocSplit:
    """A split of a VOC devkit; its folder is below the data root or below ``VOCdevkit`` there.

    Attributes:
        num_images: None for a part of a split.
    """

    year: int
    split: str
    class_names: tuple[str, ...]
    num_images: int | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        return (f"VOCdevkit/VOC{self.year}", f"VOC{self.year}")

    @property
    def parts(self) -> tuple[str, ...]:
        return (f"ImageSets/Main/{self.split}.txt", "Annotations", "JPEGImages")


@dataclass(frozen=True)
class CocoSplit:
    """A split of COCO; the data root is COCO's folder or holds it as ``coco``."""

    split: str
    num_images: int
    folders: tuple[str, ...] = ("coco", ".")

    @property
    def parts(self) -> tuple[str, ...]:
        return (f"annotations/instances_{self.split}.json", self.split)


def known_splits() -> dict[str, VocSplit | CocoSplit]:
    """Every split that a config may name in ``DATASETS``, e.g. ``voc_2007_test`` and ``digits_coco_2017_train``."""
    found: dict[str, VocSplit | CocoSplit] = {}
    for row in DATASETS.values():
        for layout in row.layouts if isinstance(row, DenseDataset) else ():
            if isinstance(layout, VocBoxes):
                for lists, num_images in ((layout.train, layout.num_train), (layout.test, layout.num_test)):
                    for each in lists:
                        name = f"{layout.prefix}voc_{each.year}_{each.names}"
                        whole = num_images if len(lists) == 1 else None
                        found[name] = VocSplit(each.year, each.names, layout.class_names, whole)
            elif isinstance(layout, CocoBoxes):
                found[f"{layout.prefix}coco_2017_train"] = CocoSplit("train2017", layout.num_train)
                found[f"{layout.prefix}coco_2017_val"] = CocoSplit("val2017", layout.num_test)
    return found
