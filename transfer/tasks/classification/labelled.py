"""Labelled images that are read one at a time, and the splits of a data set."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

    from transfer.tasks.classification.ledger import SealedTest


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images of one split; nothing is in memory but names and labels.

    Attributes:
        name: for messages, e.g. ``"dtd train"``.
        classes: names of the classes, in the order of the labels.
        labels: (N,) int64; where an image can have several classes (N, C) int8: 1 present, 0 absent, -1 not to be
            counted (VOC's "difficult").
        read: row to RGB image; raises UserError if the file cannot be read.
        file_name: row to what the image is called, of files the path below the data root; lists of labelled images go
            by the name without its folders. None where images have no names.
    """

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.integer]
    read: Callable[[int], Image]
    file_name: Callable[[int], str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_multilabel(self) -> bool:
        return self.labels.ndim == 2

    def subset(self, rows: NDArray[np.integer], name: str | None = None) -> LabelledImages:
        """The images of these rows, in this order."""
        rows, read, file_name = np.asarray(rows), self.read, self.file_name
        return LabelledImages(
            name=name or self.name,
            classes=self.classes,
            labels=self.labels[rows],
            read=lambda row: read(int(rows[row])),
            file_name=None if file_name is None else lambda row: file_name(int(rows[row])),
        )

    def kept(self) -> LabelledImages:
        """The same images, each read once and kept in memory: for small images that are read in every epoch."""
        return dataclasses.replace(self, read=functools.cache(self.read))


def joined(first: LabelledImages, second: LabelledImages, name: str) -> LabelledImages:
    """The images of both, e.g. of train and val for the last training."""
    assert first.classes == second.classes, f"{first.name} and {second.name} have other classes"
    split, names, more_names = len(first), first.file_name, second.file_name
    return LabelledImages(
        name=name,
        classes=first.classes,
        labels=np.concatenate([first.labels, second.labels]),
        read=lambda row: first.read(row) if row < split else second.read(row - split),
        file_name=None
        if names is None or more_names is None
        else lambda row: names(row) if row < split else more_names(row - split),
    )


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A data set as its protocol splits it.

    Attributes:
        val: the official validation images; None where the data set has none, so that a part of ``train`` is held out.
        test: sealed: it can be opened once, and that is recorded.
    """

    train: LabelledImages
    val: LabelledImages | None
    test: SealedTest
