"""Reading a data set's files: every image to its last byte, on all cores."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.doctor.findings import MISSING, REPEATED, UNREADABLE_IMAGE, WRONG_SIZE, Findings

Item = TypeVar("Item")
Progress = Callable[[int, int, str], None]  # things done, things in all, what is being done

CHUNK = 4096  # items that wait at a time
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises on damaged files


def for_each(items: Sequence[Item], check: Callable[[Item], None], progress: Progress, what: str) -> None:
    """Calls ``check`` for every item, in as many threads as there are cores; decoders let go of Python's lock."""
    done = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for start in range(0, len(items), CHUNK):  # a million waiting tasks would take a gigabyte
            for _ in threads.map(check, items[start : start + CHUNK]):
                done += 1
                progress(done, len(items), what)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image, after all of it has been decoded.

    Raises:
        OSError, SyntaxError, ValueError: it is damaged or not an image.
    """
    with warnings.catch_warnings(), Image.open(path) as image:
        warnings.simplefilter("ignore")
        size = image.size
        image.draft("L", (1, 1))  # a JPEG at an eighth of its size: all of its bytes, a fraction of the work
        image.load()
    return size


def labels(path: Path) -> NDArray[np.uint8]:
    """(H, W) class indices of a mask; of a palette image the indices, not the colours.

    Raises:
        OSError, SyntaxError, ValueError: it is damaged, or its pixels are not single numbers.
    """
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"its pixels are {image.mode}, not class indices")
        return np.asarray(image)


def check_image(path: Path, wanted: tuple[int, int] | None, root: Path, findings: Findings) -> None:
    """Is the image there, readable, and of the size (width, height) that its annotation gives?"""
    name = path.relative_to(root).as_posix()
    if not path.is_file():
        findings.add(MISSING, name)
        return
    try:
        size = image_size(path)
    except BROKEN:
        findings.add(UNREADABLE_IMAGE, name)
        return
    if wanted is not None and size != wanted:
        findings.add(WRONG_SIZE, f"{name} ({size[0]} x {size[1]}, not {wanted[0]} x {wanted[1]})")


def read_list(path: Path, root: Path, findings: Findings) -> list[str]:
    """The names in a list, one a line, the first word of each; empty if there is no such file."""
    if not path.is_file():
        findings.add(MISSING, path.relative_to(root).as_posix())
        return []
    names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for name in repeated(names):
        findings.add(REPEATED, f"{name} in {path.relative_to(root).as_posix()}")
    return names


def repeated(items: Iterable[Any]) -> list[Any]:
    """What occurs more than once."""
    return [item for item, count in Counter(items).items() if count > 1]


def has_folders(root: Path, folders: Iterable[Path], findings: Findings) -> bool:
    """Notes folders that are missing; are they all there?"""
    missing = [folder for folder in folders if not folder.is_dir()]
    for folder in missing:
        findings.add(MISSING, folder.relative_to(root).as_posix() + "/")
    return not missing
