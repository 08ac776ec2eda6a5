"""``train/<class>/*`` and ``val/<class>/*``, or shards: ImageNet, the embedded digits, and anybody's own images."""

from __future__ import annotations

import os
from pathlib import Path

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import DataFileError, Home
from transfer.tasks.classification.datasets.listing import IMAGE_SUFFIXES, Listing
from transfer.tasks.classification.datasets.shards import list_shards, shards_of

FOLDERS = {"train": "train", "test": "val"}


class NotSortedError(DataFileError):
    """There are images where there should be folders of classes."""


def list_split(row: LabelledDataset, root: Path, split: Split) -> Listing:
    """``val`` is the test set, as in ImageNet; the classes are the names of the folders, sorted, or shards' numbers.

    Images are listed in the order of torchvision's ``ImageFolder``: by class, folder and name.

    Raises:
        DataFileError: a folder is missing, empty, or has images in place of classes.
    """
    if shards := shards_of(root, FOLDERS[split]):
        return list_shards(shards, FOLDERS[split])
    home = Home.find(row, root, "train", "imagefolder")
    folder = home.folder_of(FOLDERS[split])
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    classes = [entry.name for entry in entries if entry.is_dir()]
    if not classes and any(_is_image(entry.name) for entry in entries):
        message = f"the images in {folder} are not sorted into folders of classes: {row.guide.format(root=root)}"
        raise NotSortedError(message, home.name(f"{folder.name}/"), missing=True)
    names: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(classes):
        found = _images_below(folder / class_name)
        if not found:
            raise home.missing(f"{folder.name}/{class_name}/<images>")
        names += [f"{folder.name}/{class_name}/{name}" for name in found]
        labels += [label] * len(found)
    if not names:
        raise home.missing(f"{folder.name}/<class>/<images>")
    return home.listing(names, labels, classes)


def _images_below(folder: Path) -> list[str]:
    """Paths below the folder, in the order of their folders and names."""
    found: list[str] = []
    for parent, _, names in sorted(os.walk(folder, followlinks=True)):
        below = Path(parent).relative_to(folder).as_posix()
        found += [name if below == "." else f"{below}/{name}" for name in sorted(names) if _is_image(name)]
    return found


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)
