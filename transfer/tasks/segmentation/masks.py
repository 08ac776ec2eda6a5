"""A user's own masks as files: which image has which mask, and what its pixels say. Imports no framework."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.layouts import MaskFolders
from twist_common.errors import UserError
from twist_common.images import images_below, is_image, is_turned

IGNORED = 255  # the class index of pixels that are not labelled
COLOUR = 1 << 24  # values from here on are colours, and below it ids


def mask_pairs(root: Path, part: MaskFolders) -> list[tuple[Path, Path]]:
    """The images of a split with their masks, which need not exist.

    A list has an image in each line: its name in the folder, with or without a suffix and the folder before it; or the
    paths of an image and of its mask below the data root, with or without a slash before them. Separators may be
    Windows'.

    Raises:
        UserError: two files may be meant by one name, or the list is no text.
    """
    images, masks, files = root / part.images, root / part.masks, _Files()
    if not part.names:
        return [(images / name, files.mask_of(masks, name, part.ending)) for name in images_below(images)]
    try:
        lines = (root / part.names).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{root / part.names} is no text: give a list of images, one per line, in UTF-8") from None
    pairs = []
    for line in filter(None, map(str.strip, lines)):
        both = re.split(r"[\t,; ]+", line)
        if len(both) == 2 and not files.find(images, line).is_file():
            pairs.append((_below(root, both[0]), _below(root, both[1])))
        else:
            name = line.replace("\\", "/").removeprefix(f"{part.images}/")
            pairs.append((files.find(images, name), files.mask_of(masks, name, part.ending)))
    return pairs


def _below(root: Path, name: str) -> Path:
    """A path as a list has it: ``/images/1.jpg`` is below the root (as in DeepLab's lists), unless there is one."""
    name = name.replace("\\", "/")
    return root / name if Path(name).is_file() else root / name.lstrip("/")


class _Files:
    """Images by their names without suffix; each folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def mask_of(self, masks: Path, image: str, ending: str) -> Path:
        """The mask of an image, which need not exist."""
        stem = re.sub(r"\.\w+$", "", image) if is_image(image) else image
        return self.find(masks, f"{stem}{ending}", usual=".png")

    def find(self, folder: Path, name: str, usual: str = ".jpg") -> Path:
        """The image of this name, with its suffix or without; with the usual one where there is none.

        Raises:
            UserError: several files have the name.
        """
        if is_image(name) and (folder / name).is_file():
            return folder / name
        path = folder / f"{name}{usual}"
        found = self._below(path.parent).get(path.stem, [])
        if len(found) > 1:
            raise UserError(
                f"{path.parent} has {' and '.join(sorted(found))}, of which only one can be meant: keep that"
            )
        return path.parent / found[0] if found else path

    def _below(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listed:
            self._listed[folder] = {}
            for path in folder.iterdir() if folder.is_dir() else ():
                if is_image(path.name) and path.is_file():
                    self._listed[folder].setdefault(path.stem, []).append(path.name)
        return self._listed[folder]


def pixels(path: Path) -> NDArray[np.int32]:
    """(H, W) values of a mask: ids as they are, of palette images the indices; colours as :data:`COLOUR` + 0xRRGGBB.

    Raises:
        ValueError: its pixels are neither.
    """
    with Image.open(path) as image:
        if image.format == "JPEG":
            raise ValueError("it is a JPEG, whose pixels are not what was saved: save masks as PNG")
        if image.format == "TIFF" and is_turned(image):
            raise ValueError("it is a TIFF with an orientation: save masks as PNG")
        if image.mode in ("P", "L", "1", "I") or image.mode.startswith("I;16"):
            ids = np.asarray(image).astype(np.int32)
            if ids.min() < 0 or ids.max() >= COLOUR:
                raise ValueError(f"its ids are from {ids.min()} to {ids.max()}")
            return ids
        if image.mode in ("RGB", "RGBA"):
            red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int32), 2, 0)
            values: NDArray[np.int32] = COLOUR + (red << 16) + (green << 8) + blue
            return values
        raise ValueError(f"its pixels are {image.mode}, neither ids nor colours")


def distinct(values: NDArray[np.int32]) -> list[int]:
    """The values that occur, in order."""
    flat = values.ravel()
    changes = flat[1:][flat[1:] != flat[:-1]]  # masks are areas: hardly any pixel differs from the next
    return [int(value) for value in np.unique(np.append(flat[:1], changes))]


def class_indices(path: Path, *, values: Sequence[int], ignored: Sequence[int]) -> NDArray[np.uint8]:
    """(H, W) class indices of a mask, :data:`IGNORED` for what is not labelled.

    Args:
        values: of each class, see :func:`pixels`.

    Raises:
        ValueError: a pixel has another value.
    """
    found = pixels(path)
    known = np.array([*values, *ignored])
    indices = np.array([*range(len(values)), *[IGNORED] * len(ignored)], dtype=np.uint8)
    order = np.argsort(known)
    places = np.searchsorted(known[order], found).clip(max=len(known) - 1)
    if strangers := distinct(found[known[order][places] != found]):
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        raise ValueError(f"no class has {', '.join(map(written, strangers[:3]))}{more}")
    result: NDArray[np.uint8] = indices[order][places]
    return result


def written(value: int) -> str:
    """A value for people: ``"7"`` or ``"#80e000"``."""
    return f"#{value - COLOUR:06x}" if value >= COLOUR else str(value)


def palette(values: Sequence[int]) -> list[list[int]]:
    """The classes' colours for pictures; none where masks hold ids, of which MMSegmentation draws some."""
    if min(values) < COLOUR:
        return []
    return [[value >> 16 & 255, value >> 8 & 255, value & 255] for value in values]
