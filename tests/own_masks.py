"""Images and masks of a user's own, small enough for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = np.array([[0, 0, 0], [128, 64, 0], [0, 200, 32]], dtype=np.uint8)
NUM_TRAIN, NUM_TEST = 12, 3  # 1 and 10, of which the one's name begins the other's


def make_masks(root: Path, *, is_coloured: bool = False) -> Path:
    """Squares and discs on noise in ``images/{train,val}``; masks of ids, or of colours with a ``classes.txt``."""
    draw = np.random.default_rng(0)
    for split, number in (("train", NUM_TRAIN), ("val", NUM_TEST)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for place in range(number):
            mask = np.zeros((48, 64), dtype=np.uint8)
            top, left = draw.integers(0, 24, 2)
            mask[top : top + 16, left : left + 16] = 1
            rows, columns = np.indices(mask.shape)
            mask[(rows - 24) ** 2 + (columns - 48) ** 2 < 80] = 2
            image = draw.integers(0, 80, (48, 64, 3)) + 60 * mask[..., None]
            Image.fromarray(image.astype(np.uint8)).save(root / f"images/{split}/{place}.png")
            Image.fromarray(COLOURS[mask] if is_coloured else mask).save(root / f"masks/{split}/{place}.png")
    if is_coloured:
        names = ("ground", "square", "disc")
        lines = [f"{' '.join(map(str, colour))} {name}" for colour, name in zip(COLOURS, names, strict=True)]
        (root / "classes.txt").write_text("\n".join(lines))
    return root
