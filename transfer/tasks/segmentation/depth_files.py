"""Images with depths, by the lists of BTS: which image has which depths, and how deep its pixels are. No framework.

The lists are those of https://github.com/zhyever/Monocular-Depth-Estimation-Toolbox/tree/d8aff50e75c4b0c183361c7690959d0269b45a9d/splits
and the depths what https://github.com/cleinc/bts/blob/81561170a37aff80c0255199f7feaebb7d08d9fe/utils/extract_official_train_test_set_from_mat.py
writes: millimetres in 16-bit PNG, and 0 where there is none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MILLIMETRE = 0.001  # in metres
FARTHEST = 10.0  # metres that the sensor sees
BYTE = 255  # no map of millimetres is so near everywhere


def depth_pairs(root: Path, names: str) -> list[tuple[Path, Path]]:
    """The images of a list with their depths, in its order; neither need exist.

    Args:
        names: the list below ``root``; a line has an image, its depths and the camera's focal length, with or without a
            slash before each name.

    Raises:
        ValueError: a line has fewer names than two.
    """
    pairs = []
    for number, line in enumerate((root / names).read_text(encoding="utf-8-sig").splitlines(), start=1):
        words = line.split()
        if len(words) == 1:
            raise ValueError(f"line {number} has an image and no depths")
        if words:
            image, depths = (root / word.lstrip("/") for word in words[:2])
            pairs.append((image, depths))
    return pairs


def stored_depths(path: Path) -> NDArray[np.int32]:
    """(H, W) depths in millimetres; 0 where there is none.

    Raises:
        ValueError: the file holds anything else, as far as its pixels show.
    """
    with path.open("rb") as file, Image.open(file) as image:
        if image.format != "PNG" or not (image.mode == "I" or image.mode.startswith("I;16")):
            raise ValueError(f"it is a {image.format} of {image.mode}, not a PNG of 16 bits a pixel")
        depths = np.asarray(image).astype(np.int32)
    known = depths[depths > 0]
    if known.size and known.max() <= BYTE:
        raise ValueError(f"no depth is above {known.max()} mm: it is in another unit")
    if known.size and np.median(known) > FARTHEST / MILLIMETRE:
        raise ValueError(f"half of its depths are above {FARTHEST:g} m: it is in another unit")
    return depths
