"""``train/<class>/*`` and ``val/<class>/*``, or WebDataset shards: ImageNet, the embedded digits, a user's own images.

Shards are ``train/*.tar`` and ``val/*.tar``, or all of them in one folder.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import DataFileError, Home, read_rgb, split_name
from transfer.tasks.classification.datasets.labelled import LabelledImages
from twist_common.errors import UserError
from twist_common.images import class_folders, images_below

MAX_GAPS = 10  # classes for each that has an image: few shards of many may lack some
FOLDERS = {"train": "train", "test": "val"}


class NotSortedError(DataFileError):
    """There are images where there should be folders of classes."""


class EmptyClassError(DataFileError):
    """A folder of a class holds no image."""


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """``val`` is the test set, as in ImageNet; the classes are the names of the folders, sorted, or shards' numbers.

    Images are listed in the order of torchvision's ``ImageFolder``: by class, folder and name.

    Raises:
        DataFileError: a folder is missing, empty, or has images in place of classes.
    """
    if (of_shards := _of_shards(row, root, split)) is not None:
        return of_shards
    home = Home.find(row, root, "train", *(() if row.embedded else ("",)), "imagefolder")  # a message names the first
    folder = home.folder_of(FOLDERS[split])
    classes = class_folders(folder)
    if not classes and images_below(folder):
        message = f"the images in {folder} are not sorted into folders of classes: {row.guide.format(root=root)}"
        raise NotSortedError(message, home.name(f"{folder.name}/"), missing=True)
    names: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(classes):
        images = images_below(folder / class_name)
        if not images:
            message = f"{folder / class_name} holds no image: fill the folder or remove it"
            raise EmptyClassError(message, home.name(f"{folder.name}/{class_name}/"), missing=True)
        names += [f"{folder.name}/{class_name}/{name}" for name in images]
        labels += [label] * len(images)
    if not names:
        raise home.missing(f"{folder.name}/<class>/<images>")
    return home.images(split, names, labels, classes)


def _of_shards(row: LabelledDataset, root: Path, split: Split) -> LabelledImages | None:
    """The images of the split's shards, their classes numbers from 0 to the highest label; None without shards.

    Validation shards beside training shards are recognised by their names. The index of where each image lies is kept
    beside the shards where their folder can be written to.

    Raises:
        UserError: a shard is damaged, holds no image or lacks some labels, or hardly any of the labels occurs.
    """
    name = FOLDERS[split]
    has_folder = (root / name).is_dir()
    place = root / name if has_folder else root
    if not any(place.glob("*.tar")):
        return None
    from twist_common.shards import INDEX_NAME, TarShards, find_shards

    shards = [path for path in find_shards(place, name) if has_folder or name in path.name]
    if not shards:
        return None
    index_name = INDEX_NAME if split == "train" else f".shard_index_{name}.npz"  # pre-training has the same of train
    source = TarShards(shards, [place], index_name=index_name)
    labels = source.places[:, 3].copy()
    highest, number = int(labels.max()), len(np.unique(labels))
    if highest >= MAX_GAPS * number:
        raise UserError(
            f"the labels of the shards in {place} go up to {highest:,}, but only {number:,} occur: number them from 0"
        )
    return LabelledImages(
        name=split_name(row, split),
        classes=tuple(map(str, range(highest + 1))),
        labels=labels,
        read=lambda row: read_rgb(io.BytesIO(source.read(row)), source.name(row), "write its shard again"),
        names=cast(Sequence[str], source.keys),
    )
