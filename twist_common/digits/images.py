"""Image files whose bytes depend on the pixels alone, and the ImageFolder layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twist_common.digits.source import Digits


def save_jpeg(image: NDArray[np.uint8], path: Path) -> None:
    """Writes a grey (H, W) image as an RGB JPEG."""
    rgb = Image.fromarray(image).convert("RGB")
    rgb.save(path, quality=95, subsampling=0, optimize=False, progressive=False)


def write_imagefolder(root: Path, digits: Digits) -> int:
    """Writes ``root/<class>/<row number in the source>.png``, RGB, and returns the number of images."""
    for label in np.unique(digits.labels):
        (root / str(label)).mkdir(parents=True)
    for image, label, index in zip(digits.images, digits.labels, digits.indices, strict=True):
        Image.fromarray(image).convert("RGB").save(root / str(label) / f"{index:04d}.png", compress_level=6)
    return len(digits)
