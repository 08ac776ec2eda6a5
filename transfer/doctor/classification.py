"""Data sets of labelled images: whether they hold what their rows say, and every image."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import PurePath

from transfer.doctor.files import check_count, check_image, for_each, repeated
from transfer.doctor.findings import (
    EMPTY_CLASS,
    LEAK,
    MISSING,
    NOT_SORTED,
    ONE_CLASS,
    OTHER_CLASSES,
    REPEATED,
    TWIN_CLASSES,
    UNREADABLE_ANNOTATION,
    WRONG_COUNT,
    Findings,
)
from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.classification.datasets.home import DataFileError
from transfer.tasks.classification.datasets.image_folder import FOLDERS, EmptyClassError, NotSortedError
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.own_files import twins
from twist_common.files import sha256_file
from twist_common.images import files_below, is_image
from twist_common.progress import Progress


def check(row: LabelledDataset, findings: Findings, progress: Progress) -> None:
    """Checks lists, numbers of images and classes, leaks between the splits, and every image to its last byte."""
    root = findings.root
    listings: dict[Split, LabelledImages] = {}
    for split in row.splits:
        try:
            listings[split] = list_split(row, root, split)
        except NotSortedError as error:
            findings.add(NOT_SORTED, error.name)
        except EmptyClassError as error:
            findings.add(EMPTY_CLASS, error.name)
        except DataFileError as error:
            findings.add(MISSING if error.missing else UNREADABLE_ANNOTATION, f"{error.name}{error.reason}")
    called = {split: row.test_split if split == "test" else split for split in listings}
    for split, listing in listings.items():
        if row.sizes:
            check_count(called[split], len(listing), row.sizes[split], findings)
        for name in repeated(listing.names):
            findings.add(REPEATED, f"{name} in {called[split]}")
    if "train" in listings and row.num_classes not in (0, num_classes := len(listings["train"].classes)):
        findings.add(WRONG_COUNT, f"train has {num_classes} classes, not {row.num_classes}")
    _check_leaks(listings, findings)
    if row.is_own:
        if "train" in listings and len(listings["train"].classes) == 1:
            findings.add(ONE_CLASS, f"train has {listings['train'].classes[0]} alone")
        for pair in twins(name for listing in listings.values() for name in listing.classes):
            findings.add(TWIN_CLASSES, pair)
        for listing in listings.values():
            _note_several_labels(listing, findings, progress)
        folders = [root / FOLDERS[split] for split, listing in listings.items() if listing.root is not None]
        left_out = (name for folder in folders for name in files_below(folder) if not is_image(name))
        for suffix, number in Counter(PurePath(name).suffix for name in left_out).items():
            findings.note("files that are left out, by their suffix", f"{suffix or 'none'} {number:,}")
    for split, listing in listings.items():
        if listing.root is not None:  # else the images were read when they were listed
            for_each(
                listing.names,
                lambda name: check_image(root / name, None, findings),
                progress,
                f"images of {row.name} {called[split]}",
            )


def _check_leaks(listings: dict[Split, LabelledImages], findings: Findings) -> None:
    """Images in several splits, and classes in one of them alone.

    Shards of several splits may number their images alike.
    """
    names = {split: set(listing.names) for split, listing in listings.items() if listing.root is not None}
    train, val, test = (names.get(split, set()) for split in ("train", "val", "test"))
    for name in train & val:
        findings.add(REPEATED, f"{name} in train and val")
    for name in (train | val) & test:
        findings.add(LEAK, name)
    if "train" in listings and "test" in listings:
        for name in set(listings["train"].classes) ^ set(listings["test"].classes):
            findings.add(OTHER_CLASSES, name)


def _note_several_labels(listing: LabelledImages, findings: Findings, progress: Progress) -> None:
    """Notes images that are in the folders of several classes, as the same bytes; only those of one size are read."""
    if (root := listing.root) is None:
        return
    of_size: dict[int, list[int]] = {}
    for row, name in enumerate(listing.names):
        with contextlib.suppress(OSError):  # a link to nowhere: the check of the images names it
            of_size.setdefault((root / name).stat().st_size, []).append(row)
    alike = [rows for size, rows in of_size.items() if size and len({int(listing.labels[row]) for row in rows}) > 1]
    suspects = [row for rows in alike for row in rows]
    hashes: dict[int, str] = {}
    for_each(
        suspects,
        lambda row: hashes.update({row: sha256_file(root / listing.names[row])}),
        progress,
        f"bytes of {listing.name}",
    )
    first: dict[str, int] = {}
    for row in suspects:
        before = first.setdefault(hashes[row], row)
        if listing.labels[before] != listing.labels[row]:
            names = f"{listing.names[before]} and {listing.names[row]}"
            findings.note("images that are in several classes, as the same bytes", names)
