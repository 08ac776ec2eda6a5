"""An ImageFolder split in memory, normalised; and the few labelled images of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.datasets import ImageFolder

from common.errors import UserError
from transfer.backbone import Preprocessing


@dataclass(frozen=True)
class LabelledImages:
    """``images`` is (N, 3, H, W) float32, normalised; ``labels`` is (N,) int64; ``classes`` names the labels."""

    images: Tensor
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def open_split(data: Path, split: str) -> ImageFolder:
    """Lists ``data/imagefolder/<split>/<class>/*``.

    Raises:
        UserError: the folder is missing or empty.
    """
    root = data / "imagefolder" / split
    try:
        return ImageFolder(str(root))
    except OSError as error:
        raise UserError(f"no images in {root} ({error}): run tools/demo_data.sh, or give another --data") from None


def read_images(folder: ImageFolder, rows: NDArray[np.int64], preprocessing: Preprocessing) -> LabelledImages:
    """Reads the images of these rows at their own size, which must be one and the same.

    Raises:
        UserError: an image cannot be read, or has another size.
    """
    try:
        pixels = np.stack([np.asarray(folder[row][0]) for row in rows])
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read images in {folder.root} ({error}): run tools/demo_data.sh again") from None
    if preprocessing.colour_order != "RGB":
        pixels = pixels[..., ::-1]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div_(255)
    normalised = images.sub_(mean).div_(std).contiguous()
    return LabelledImages(normalised, labels_of(folder)[rows], tuple(folder.classes))


def labels_of(folder: ImageFolder) -> NDArray[np.int64]:
    """(N,) labels of all rows."""
    return np.asarray(folder.targets, dtype=np.int64)


def read_all(folder: ImageFolder, preprocessing: Preprocessing) -> LabelledImages:
    """:func:`read_images` of every row."""
    return read_images(folder, np.arange(len(folder)), preprocessing)


def few_labels(labels: NDArray[np.int64], per_class: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of ``per_class`` images of every class, in a random order.

    Raises:
        UserError: a class has fewer images.
    """
    rows = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        if not 1 <= per_class <= len(of_class):
            raise UserError(
                f"labels_per_class={per_class}, but class {label} has {len(of_class)} training images: "
                f"choose from 1 to {len(of_class)}"
            )
        rows.append(rng.permutation(of_class)[:per_class])
    return rng.permutation(np.concatenate(rows))


def majority_top1(train_labels: NDArray[np.int64], test_labels: NDArray[np.int64]) -> float:
    """The floor: test accuracy of always answering the most frequent training label, as a fraction."""
    return float(np.mean(test_labels == np.bincount(train_labels).argmax()))
