"""Data sets of labelled images: what their rows say of them, and every image."""

from __future__ import annotations

from pathlib import Path

from transfer.doctor.files import Progress, check_image, for_each, repeated
from transfer.doctor.findings import (
    LEAK,
    MISSING,
    NOT_SORTED,
    OTHER_CLASSES,
    REPEATED,
    UNREADABLE_ANNOTATION,
    WRONG_COUNT,
    Findings,
)
from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.classification.datasets.home import DataFileError
from transfer.tasks.classification.datasets.image_folder import NotSortedError
from transfer.tasks.classification.labelled import LabelledImages


def check(row: LabelledDataset, root: Path, findings: Findings, progress: Progress) -> None:
    """Checks lists, numbers of images and classes, leaks between the splits, and every image to its last byte."""
    listings = {split: listing for split in row.splits if (listing := _list(row, root, split, findings)) is not None}
    for split, listing in listings.items():
        if row.sizes and len(listing) != row.sizes[split]:
            findings.add(WRONG_COUNT, f"{_called(row, split)} has {len(listing):,}, not {row.sizes[split]:,}")
        for name in repeated(listing.names):
            findings.add(REPEATED, f"{name} in {_called(row, split)}")
    if "train" in listings and row.num_classes not in (0, num_classes := len(listings["train"].classes)):
        findings.add(WRONG_COUNT, f"train has {num_classes} classes, not {row.num_classes}")
    _check_splits(listings, findings)
    for split, listing in listings.items():
        if listing.root is not None:  # else the images were read when they were listed
            for_each(
                listing.names,
                lambda name: check_image(root / name, None, root, findings),
                progress,
                f"images of {row.name} {_called(row, split)}",
            )


def _called(row: LabelledDataset, split: Split) -> str:
    return row.test_split if split == "test" else split


def _list(row: LabelledDataset, root: Path, split: Split, findings: Findings) -> LabelledImages | None:
    try:
        return list_split(row, root, split)
    except NotSortedError as error:
        findings.add(NOT_SORTED, error.name)
    except DataFileError as error:
        findings.add(MISSING if error.missing else UNREADABLE_ANNOTATION, f"{error.name}{error.reason}")
    return None


def _check_splits(listings: dict[Split, LabelledImages], findings: Findings) -> None:
    names = {split: set(listing.names) for split, listing in listings.items()}
    training = names.get("train", set())
    for name in training & names.get("val", set()):
        findings.add(REPEATED, f"{name} in train and val")
    for name in (training | names.get("val", set())) & names.get("test", set()):
        findings.add(LEAK, name)
    if "train" in listings and "test" in listings:
        for name in set(listings["train"].classes) ^ set(listings["test"].classes):
            findings.add(OTHER_CLASSES, name)
