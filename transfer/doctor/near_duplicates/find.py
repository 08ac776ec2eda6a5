"""Counts the test images that are near-duplicates of pre-training images, and writes the count for reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer.doctor.near_duplicates.hamming import nearest
from transfer.doctor.near_duplicates.hashes import HASH, Hashes, hash_training
from transfer.doctor.near_duplicates.held_out import hash_test_images
from transfer.doctor.near_duplicates.stored import WHAT_TO_GIVE, list_images, stored_file
from transfer.rows import DatasetRow
from twist_common.errors import UserError
from twist_common.files import write_text
from twist_common.progress import Progress

FORMAT = "twist-transfer near-duplicates"
VERSION = 1
DEFAULT_THRESHOLD = 4  # measured: docs/log.md, 2026-11-24, near-duplicates
MAX_THRESHOLD = 16  # beyond it, unrelated images would count as near-duplicates
MAX_EXAMPLES = 20
SPLIT_NAMES = ("train", "val", "test", "images")


@dataclass(frozen=True, kw_only=True)
class FoundNearDuplicates:
    """What was found; the fields of ``near-duplicates/<dataset>.json``.

    Attributes:
        dataset: the name of the row of the data set that is tested on.
        training_source: the pre-training images' folder, without where it lies on this machine.
        threshold: bits of 64 in which the hashes of near-duplicates differ at most.
        near_duplicates: test images with a near-duplicate among the training images, exact ones included.
        exact: test images whose very bytes are among the training images.
        examples: (test image, training image, bits that differ), the nearest first; names below their roots.
    """

    dataset: str
    test_images: int
    training_images: int
    training_source: str
    threshold: int
    hash: str
    near_duplicates: int
    exact: int
    examples: list[tuple[str, str, int]]


def find_near_duplicates(
    row: DatasetRow,
    root: Path,
    pretraining: Path,
    threshold: int,
    progress: Progress,
    *,
    only: Sequence[Path] | None = None,
) -> tuple[FoundNearDuplicates, int]:
    """Compares every test image, and its mirror image, with every pre-training image.

    Args:
        root: the data set's folder.
        pretraining: class folders, a flat folder or ``*.tar`` shards.
        only: these images below ``pretraining``; None: all.

    Returns:
        What was found, and how many pre-training images could not be read and were left out.

    Raises:
        UserError: images are missing or cannot be read, or :func:`check_request`.
    """
    check_request(pretraining, threshold)
    items = list_images(pretraining) if only is None else [stored_file(path, pretraining) for path in only]
    test = hash_test_images(row, root, progress)
    training = hash_training(items, pretraining, progress)
    readable = np.flatnonzero(training.readable)
    if not len(readable):
        raise UserError(f"none of the {len(items):,} images below {pretraining} can be read: fetch them again")

    distance, place, exact = _nearest(test.hashes, training, readable, progress)
    near = np.flatnonzero(distance <= threshold).tolist()
    nearest_first = sorted(near, key=lambda test_row: (not exact[test_row], distance[test_row], test_row))
    found = FoundNearDuplicates(
        dataset=row.name,
        test_images=len(test.names),
        training_images=len(readable),
        training_source=source_name(pretraining),
        threshold=threshold,
        hash=HASH,
        near_duplicates=len(near),
        exact=int(exact.sum()),
        examples=[
            (test.names[test_row], items[int(place[test_row])].name, int(distance[test_row]))
            for test_row in nearest_first[:MAX_EXAMPLES]
        ],
    )
    return found, len(items) - len(readable)


def check_request(pretraining: Path, threshold: int) -> None:
    """Refuses, before anything is read, what cannot be done.

    Raises:
        UserError: the threshold is out of range, or there is no such folder.
    """
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise UserError(f"--threshold is {threshold}: choose from 0 to {MAX_THRESHOLD} bits")
    if not pretraining.is_dir():
        raise UserError(f"no folder {pretraining} with pre-training images: {WHAT_TO_GIVE}")


def _nearest(
    test: Hashes, training: Hashes, readable: NDArray[np.int64], progress: Progress
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """For each test image or its mirror image the nearest training image's distance and row, and whether it is exact.

    Args:
        readable: rows of the training images that could be read.
    """
    distance, place = nearest(test.plain, training.plain[readable], progress)
    mirrored_distance, mirrored_place = nearest(test.mirrored, training.plain[readable], progress)
    row = readable[np.where(mirrored_distance < distance, mirrored_place, place)]
    distance = np.minimum(distance, mirrored_distance)

    digests = training.digests[readable]
    order = np.argsort(digests, kind="stable")
    found = order[np.minimum(np.searchsorted(digests[order], test.digests), len(order) - 1)]
    exact = digests[found] == test.digests
    row[exact], distance[exact] = readable[found[exact]], 0
    return distance, row, exact


def source_name(folder: Path) -> str:
    """The folder's own name, with its parent's where it is called for a split: ``imagenet/train``."""
    folder = folder.resolve()
    return f"{folder.parent.name}/{folder.name}" if folder.name.lower() in SPLIT_NAMES else folder.name


def write(found: FoundNearDuplicates, runs: Path) -> Path:
    """Writes ``runs/near-duplicates/<dataset>.json``, whole or not at all; returns its path."""
    path = runs / "near-duplicates" / f"{found.dataset}.json"
    write_text(path, json.dumps({"format": FORMAT, "version": VERSION, **asdict(found)}, indent=1) + "\n")
    return path
