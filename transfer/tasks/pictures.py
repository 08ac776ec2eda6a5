"""Pictures of dense trials: which test images are drawn, and the row that the sides of one are shown in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from twist_common.files import atomic_path

NUM_PICTURES = 4
HEIGHT = 240  # pixels: readable in a report, some ten kilobytes per picture
GAP = 8


def drawn_indices(num_images: int) -> list[int]:
    """Which of the images are drawn: evenly spaced, beginning with the first, the same in every trial."""
    number = min(NUM_PICTURES, num_images)
    return [index * num_images // number for index in range(number)]


def drawn_size(shape: Sequence[int]) -> tuple[int, int]:
    """(width, height) in which a side of (height, width) is drawn: :data:`HEIGHT` high."""
    height, width = shape
    return max(1, round(width * HEIGHT / height)), HEIGHT


def save_side_by_side(sides: Sequence[Image.Image], path: Path) -> None:
    """Writes pictures of one height as a JPEG, in a row with white between them; makes the folder."""
    width = sum(side.width for side in sides) + GAP * (len(sides) - 1)
    canvas = Image.new("RGB", (width, sides[0].height), "white")
    left = 0
    for side in sides:
        canvas.paste(side, (left, 0))
        left += side.width + GAP
    with atomic_path(path) as temporary:
        canvas.save(temporary, format="JPEG", quality=88)
