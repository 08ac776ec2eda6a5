"""Image files as training and tests see them: which there are, and their stored pixels as 8-bit RGB."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from twist_common.errors import UserError

# What counts as an image among the files in a folder; compared in lower case. torchvision's IMG_EXTENSIONS.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
HIDDEN = ("__MACOSX", "@eaDir")  # what macOS packs beside files, and the thumbnails of Synology's file stations
NO_IMAGE = "it is no image"
ORIENTATION = 0x0112  # the tag of Exif 2.3, section 4.6.4, by which a camera says how to turn the image


def rgb(image: Image.Image) -> Image.Image:
    """The image in RGB. The camera's orientation is not applied: annotations refer to the stored pixels.

    Raises:
        ValueError: its pixels have 32 bits, of which nobody says what is white.
    """
    return eight_bits(image).convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits for each value, of whatever colours.

    Of 16 bits the upper eight are kept, as libpng and OpenCV do; Pillow's ``convert`` would cut them off at 255
    (https://github.com/python-pillow/Pillow/issues/3011).

    Raises:
        ValueError: its pixels have 32 bits, of which nobody says what is white.
    """
    if problem := unusable(image):
        raise ValueError(problem)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


def unusable(image: Image.Image) -> str:
    """What keeps an image from becoming RGB; empty if nothing does."""
    return f"its pixels are {image.mode}, 32 bits: save it with 8" if image.mode in ("I", "F") else ""


def what_it_is(content: bytes) -> str:
    """What a file is that no decoder takes for an image, by how it begins: a clause for people."""
    if content.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, which git lfs pull replaces by the file"
    if content.lstrip()[:1] == b"<":
        return "it is a web page or another text"
    if content[4:8] == b"ftyp":
        return "it is HEIC or a video: save it as JPEG or PNG"
    return NO_IMAGE if content else "it is empty"


def is_turned(image: Image.Image) -> bool:
    """Whether the camera recorded that the image is to be turned or mirrored for display."""
    if image.format == "JPEG" and not image.info.keys() & {"exif", "xmp"}:
        return False  # Pillow's getexif looks there, and takes longer than this
    return image.getexif().get(ORIENTATION, 1) != 1


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones.

    Raises:
        UserError: a name is not UTF-8.
    """
    with os.scandir(folder) as scan:
        return sorted(_utf8(entry.name, folder) for entry in scan if not is_hidden(entry.name) and entry.is_dir())


def images_below(folder: Path) -> list[str]:
    """The image files below a folder, as paths relative to it with forward slashes, as :func:`files_below`."""
    return [name for name in files_below(folder) if is_image(name)]


def files_below(folder: Path) -> list[str]:
    """All files below a folder, in the order of torchvision's ``ImageFolder``: by folder, then by name.

    Hidden files and folders (``.ipynb_checkpoints``, ``._image.jpg``) are left out. Links are followed, and each folder
    is entered once, so that loops end and nothing is found twice.

    Raises:
        UserError: a name is not UTF-8.
    """
    found = []
    top = str(folder)
    for parent, names in sorted(_walk(folder)):
        below = parent.removeprefix(top).strip("/")
        found += [f"{below}/{name}" if below else name for name in sorted(names) if not is_hidden(name)]
    return [_utf8(name, folder) for name in found]


def is_image(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Whether file managers and notebooks hide what they keep under this name."""
    return name.startswith(".") or name in HIDDEN


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    entered = set()
    if folder.is_dir():  # a link from a class's folder to what holds it would bring all other classes' images
        entered = {(status.st_dev, status.st_ino) for status in map(Path.stat, folder.resolve().parents)}
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield parent, names


def _utf8(name: str, folder: Path) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{folder} holds {os.fsencode(name)!r}, whose name is not UTF-8: rename it") from None
    return name
