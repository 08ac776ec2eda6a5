"""Labelled images that are read one at a time, even draws from them, and the splits of a data set with a sealed test.

What is chosen by looking at the test set is no longer measured by it. So tasks get test images only through a
:class:`SealedTest`, which reads neither an image, a label nor a list before it is opened.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer.rows import LabelledDataset
from twist_common.errors import UserError
from twist_common.files import sha256_text

if TYPE_CHECKING:
    from PIL.Image import Image

FINAL_SCORING = "final scoring"
OPENED = "transfer.test_opened"


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images of one split as the data set's own files list them; only names and labels are in memory.

    Attributes:
        name: for messages, e.g. ``"dtd train"``.
        classes: names of the classes, in the order of the labels.
        labels: (N,) int64; where an image can have several classes (N, C) int8: 1 present, 0 absent, -1 not to be
            counted (VOC's "difficult").
        read: row to RGB image; raises UserError if it cannot be read.
        names: what each image is called, by which it is known in all splits; of files the path below ``root``, with
            forward slashes; empty where they have no names.
        root: the data root, if each image is a file of its own; else None (CIFAR, shards).
    """

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.integer]
    read: Callable[[int], Image]
    names: Sequence[str] = ()
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, rows: NDArray[np.integer], name: str | None = None) -> LabelledImages:
        """The images of these rows, in this order."""
        rows, read = np.asarray(rows), self.read
        return dataclasses.replace(
            self,
            name=name or self.name,
            labels=self.labels[rows],
            read=lambda row: read(int(rows[row])),
            names=[self.names[row] for row in rows.tolist()] if self.names else (),
        )

    def kept(self) -> LabelledImages:
        """The same images, each read once and kept in memory: for small images that are read in every epoch."""
        return dataclasses.replace(self, read=functools.cache(self.read))

    def files_sha256(self) -> str:
        """Hash of the images' names in their order, and of the size and modification time of each that is a file."""
        if self.root is None:
            return self.names_sha256()
        status = ((name, (self.root / name).stat()) for name in self.names)
        return sha256_text("\n".join(f"{name}\0{each.st_size}\0{each.st_mtime_ns}" for name, each in status))

    def names_sha256(self) -> str:
        """Hash of the images' names in their order, and of their labels where they have no names."""
        return sha256_text("\n".join(self.names) if self.names else repr(self.labels.tolist()))


def joined(first: LabelledImages, second: LabelledImages, name: str) -> LabelledImages:
    """The images of both, e.g. of train and val for the last training."""
    assert first.classes == second.classes, f"{first.name} and {second.name} have other classes"
    split = len(first)
    return dataclasses.replace(
        first,
        name=name,
        labels=np.concatenate([first.labels, second.labels]),
        read=lambda row: first.read(row) if row < split else second.read(row - split),
        names=[*first.names, *second.names],
    )


@dataclass
class SealedTest:
    """The test images of a data set.

    Attributes:
        split: what the data set calls them, e.g. ``"test"`` or ``"val"``.
        load: lists the images; called when the seal is broken and not before.
        scorings: the list of them, as it goes into the record.
    """

    split: str
    load: Callable[[], LabelledImages]
    scorings: list[dict[str, Any]] = field(default_factory=list)

    def open(self, purpose: str = FINAL_SCORING) -> LabelledImages:
        """The test images, once; raises the interpreter's audit event :data:`OPENED` first, with split and purpose.

        Raises:
            RuntimeError: they were opened before in this trial.
        """
        if self.scorings:
            raise RuntimeError(f"the {self.split} images were opened before, for {self.scorings[0]['purpose']}")
        sys.audit(OPENED, self.split, purpose)
        images = self.load()
        self.scorings.append({"split": self.split, "num_images": len(images), "purpose": purpose})
        return images


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A data set as its protocol splits it.

    Attributes:
        row: what the table of data sets says of it.
        val: the official validation images; None where the data set has none, so that a part of ``train`` is held out.
        test: sealed: it can be opened once, and that is recorded.
    """

    row: LabelledDataset
    train: LabelledImages
    val: LabelledImages | None
    test: SealedTest


def few_labels(labels: NDArray[np.integer], per_class: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of ``per_class`` images of every class, in a random order.

    Raises:
        UserError: a class has fewer images.
    """
    for label, size in zip(*np.unique(labels, return_counts=True), strict=True):
        if not 1 <= per_class <= size:
            raise UserError(
                f"labels_per_class={per_class}, but class {label} has {size} training images: choose from 1 to {size}"
            )
    return rng.permutation(_drawn(labels, lambda size: per_class, rng))


def even_rows(labels: NDArray[np.integer], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of this fraction of every class, rounded, at least one image each; sorted.

    Raises:
        UserError: the fraction is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"labels_fraction or val_fraction is {fraction}: a fraction above 0 and up to 1 is wanted")
    return np.sort(_drawn(labels, lambda size: max(1, round(fraction * size)), rng))


def held_out(labels: NDArray[np.integer], fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the images are for validation: this fraction of every class, rounded, at least one, never all.

    Args:
        labels: (N,).

    Returns:
        (N,).

    Raises:
        UserError: the fraction is not between 0 and 1, or a class has only one image.
    """
    if not 0 < fraction < 1:
        raise UserError(f"val_fraction={fraction}: a fraction between 0 and 1 is wanted")
    for label, size in zip(*np.unique(labels, return_counts=True), strict=True):
        if size < 2:
            raise UserError(
                f"class {label} has one labelled image, so that none can be held out for validation: "
                f"raise labels_per_class, or complete the data set"
            )
    is_val = np.zeros(len(labels), dtype=bool)
    is_val[_drawn(labels, lambda size: min(max(round(fraction * size), 1), size - 1), rng)] = True
    return is_val


def _drawn(labels: NDArray[np.integer], number: Callable[[int], int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of ``number(size)`` images of every class of ``size`` images, class by class."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([rng.permutation(rows)[: number(len(rows))] for rows in members])
