"""Reading a data set's files: every image to its last byte, on all cores."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from transfer.doctor.findings import (
    MISSING,
    REPEATED,
    UNREADABLE_ANNOTATION,
    UNREADABLE_IMAGE,
    UNUSABLE_PIXELS,
    WRONG_COUNT,
    WRONG_SIZE,
    Findings,
    Kind,
)
from twist_common.errors import is_not_the_files
from twist_common.images import is_turned, unusable, what_it_is
from twist_common.progress import Progress

Item = TypeVar("Item")

BATCH = 16  # items that a thread takes at a time: handing over a single one takes as long as decoding a small image
WAITING = 256  # batches at a time: a million waiting tasks would take a gigabyte
# What Pillow raises on damaged files; RuntimeError is that of AVIF's decoder, and NotImplementedError is one.
BROKEN = (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)


def for_each(items: Sequence[Item], check: Callable[[Item], None], progress: Progress, what: str) -> None:
    """Calls ``check`` for every item, in as many threads as there are cores: decoders release Python's lock.

    Warnings of decoders are not shown; they cannot be turned off in each thread, as all threads share their filters.
    """

    def check_batch(start: int) -> None:
        for item in items[start : start + BATCH]:
            check(item)

    starts = range(0, len(items), BATCH)
    with warnings.catch_warnings(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        warnings.simplefilter("ignore")
        for first in range(0, len(starts), WAITING):
            waiting = starts[first : first + WAITING]
            for start, _ in zip(waiting, threads.map(check_batch, waiting), strict=True):
                progress(min(start + BATCH, len(items)), len(items), what)


def read_or_note(
    path: Path, read: Callable[[Path], NDArray[Any]], broken: Kind, findings: Findings
) -> NDArray[Any] | None:
    """What belongs to each pixel of an image; None, and noted, if its file is missing or ``broken``.

    Args:
        read: raises ValueError, which says why, where the file holds something else.
    """
    if not path.is_file():
        findings.add(MISSING, path)
        return None
    try:
        return read(path)
    except BROKEN as error:
        if is_not_the_files(error):
            raise
        if isinstance(error, ValueError):
            findings.add(broken, f"{findings.name(path)} ({error})")
        else:
            _add_unreadable(path, error, findings)
        return None


def check_image(
    path: Path, wanted: tuple[int, int] | None, findings: Findings, *, formats: Collection[str] = ()
) -> None:
    """Decodes the whole image, and compares its size with the (width, height) that its annotation gives.

    Args:
        formats: the only ones that trials can read, by Pillow's names; none: all that Pillow reads.
    """
    if not path.is_file():
        findings.add(MISSING, path)
        return
    try:
        with path.open("rb") as file, Image.open(file) as image:
            width, height = image.size
            problem, turned, form = unusable(image), is_turned(image), image.format
            image.draft("L", (1, 1))  # a JPEG at an eighth of its size: all of its bytes, a fraction of the work
            image.load()
    except BROKEN as error:
        if is_not_the_files(error):
            raise
        _add_unreadable(path, error, findings)
        return
    if turned and form == "TIFF" and wanted:
        problem = "a TIFF that libraries turn as its tag says, but not its boxes or mask: save it without orientation"
    if formats and form not in formats:
        problem = f"its format is {form}, whatever its name says: save it as JPEG or PNG"
    if problem:
        findings.add(UNUSABLE_PIXELS, f"{findings.name(path)} ({problem})")
    if turned and form != "TIFF":
        findings.note("images that a camera would have turned; they are read as they are stored", path)
    if wanted not in (None, (width, height)):
        findings.add(WRONG_SIZE, f"{findings.name(path)} ({width} x {height}, not {wanted[0]} x {wanted[1]})")


def _add_unreadable(path: Path, error: Exception, findings: Findings) -> None:
    """Notes that a file cannot be read, and why where that can be said."""
    reason = str(error) if isinstance(error, Image.DecompressionBombError) else ""
    if isinstance(error, UnidentifiedImageError):
        with path.open("rb") as file:
            reason = what_it_is(file.read(64))
    findings.add(UNREADABLE_IMAGE, findings.name(path) + (f" ({reason})" if reason else ""))


def check_count(split: str, found: int, wanted: int, findings: Findings) -> None:
    """Compares a split's number of images with the published one."""
    if found != wanted:
        findings.add(WRONG_COUNT, f"{split} has {found:,}, not {wanted:,}")


def read_list(path: Path, read: Callable[[Path], list[str]], findings: Findings) -> list[str]:
    """The names that ``read`` finds in a list; empty if there is no such file, or it is no text."""
    try:
        names = read(path)
    except (OSError, UnicodeDecodeError) as error:
        if is_not_the_files(error):
            raise
        findings.add(UNREADABLE_ANNOTATION if path.is_file() else MISSING, path)
        return []
    for name in repeated(names):
        findings.add(REPEATED, f"{name} in {findings.name(path)}")
    return names


def repeated(items: Iterable[Any]) -> list[Any]:
    """What occurs more than once."""
    return [item for item, count in Counter(items).items() if count > 1]


def has_folders(folders: Iterable[Path], findings: Findings) -> bool:
    """Whether all folders exist; notes those that do not."""
    missing = [folder for folder in folders if not folder.is_dir()]
    for folder in missing:
        findings.add(MISSING, f"{findings.name(folder)}/")
    return not missing
