"""Image files as the training and the tests see them: 8-bit RGB, of the pixels as they are stored."""

from __future__ import annotations

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # the tag of Exif 2.3, section 4.6.4, by which a camera says how to turn the image


def rgb(image: Image.Image) -> Image.Image:
    """The image in RGB. The camera's orientation is not applied: annotations refer to the stored pixels.

    Of 16 bits the upper eight are kept, as libpng and OpenCV do; Pillow's ``convert`` would cut them off at 255
    (https://github.com/python-pillow/Pillow/issues/3011).

    Raises:
        ValueError: its pixels have 32 bits, of which nobody says what is white.
    """
    if problem := unusable(image):
        raise ValueError(problem)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def unusable(image: Image.Image) -> str:
    """What keeps an image from becoming RGB; empty if nothing does."""
    return f"its pixels are {image.mode}, 32 bits: save it with 8" if image.mode in ("I", "F") else ""


def is_turned(image: Image.Image) -> bool:
    """Whether the camera recorded that the image is to be turned or mirrored for display."""
    return image.getexif().get(ORIENTATION, 1) != 1
