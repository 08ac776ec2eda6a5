"""The images of one split as the data set's own files list them; no image is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from transfer.tasks.classification.labelled import LabelledImages

if TYPE_CHECKING:
    from PIL.Image import Image

# Of what may lie in a folder of images, these are images; compared in lower case.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The images of one split.

    Attributes:
        classes: names of the classes, in the order of the labels.
        labels: (N,) int64, or (N, C) int8 (see :class:`~transfer.tasks.classification.labelled.LabelledImages`).
        names: what each image is called, by which it is known in all splits; of files the path below ``root``, with
            forward slashes.
        root: the data root, if each image is a file of its own; None where many share a file (CIFAR).
        read: row to RGB image; raises UserError if it cannot be read.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.integer]
    names: Sequence[str]
    root: Path | None
    read: Callable[[int], Image]

    def __len__(self) -> int:
        return len(self.labels)

    def labelled(self, name: str) -> LabelledImages:
        """The images as a task takes them."""
        names = self.names
        return LabelledImages(
            name=name,
            classes=self.classes,
            labels=self.labels,
            read=self.read,
            file_name=lambda row: names[row],
        )


def listing_of_files(
    root: Path, names: Sequence[str], labels: Sequence[int] | NDArray[np.integer], classes: Sequence[str]
) -> Listing:
    """A listing of images that are files below ``root``; ``labels`` of a list become int64."""
    return Listing(
        classes=tuple(classes),
        labels=labels if isinstance(labels, np.ndarray) else np.asarray(labels, dtype=np.int64),
        names=names,
        root=root,
        read=lambda row: read_rgb(root / names[row]),
    )


def read_rgb(path: Path) -> Image:
    """The image in RGB.

    Raises:
        UserError: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"there is no image {path}: fetch and unpack the data set again") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {path} ({error}): fetch and unpack the data set again") from None
