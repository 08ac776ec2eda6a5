"""``train/<class>/*`` and ``val/<class>/*``: ImageNet, the embedded digits, and anybody's own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from common.errors import UserError
from transfer.classification.dataset_row import DatasetRow
from transfer.classification.labelled import LabelledImages, Splits
from transfer.classification.ledger import SealedTest


def open_splits(row: DatasetRow, root: Path) -> Splits:
    """``val`` is the test set, as in ImageNet: validation images are held out from ``train``.

    Raises:
        UserError: a folder is missing or empty.
    """
    home = root / "imagefolder" if (root / "imagefolder").is_dir() else root
    test = SealedTest(split="val", load=lambda: list_images(home / "val", f"{row.name} val", row.guide, root))
    return Splits(train=list_images(home / "train", f"{row.name} train", row.guide, root), val=None, test=test)


def list_images(folder: Path, name: str, guide: str, root: Path) -> LabelledImages:
    """Lists ``folder/<class>/*``; the classes are sorted by name.

    Raises:
        UserError: the folder is missing or empty.
    """
    from torchvision.datasets import ImageFolder

    try:
        listing = ImageFolder(str(folder))
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"no images in {folder} ({reason}): {guide.format(root=root)}") from None
    paths = [Path(path) for path, _ in listing.samples]
    return LabelledImages(
        name=name,
        classes=tuple(listing.classes),
        labels=np.asarray(listing.targets, dtype=np.int64),
        read=lambda row: read_rgb(paths[row]),
    )


def read_rgb(path: Path) -> Image.Image:
    """The image in RGB.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"cannot read the image {path} ({error}): fetch the data set again") from None
