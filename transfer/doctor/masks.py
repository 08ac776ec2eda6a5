"""Pairs of an image and its mask of class indices: VOC with SBD, Cityscapes, and the embedded digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transfer.doctor.files import BROKEN, Progress, check_image, for_each, has_folders, labels, read_list
from transfer.doctor.findings import IMPOSSIBLE_LABEL, LEAK, MISSING, WRONG_COUNT, Findings
from transfer.rows import CityscapesMasks, VocMasks

IGNORED = 255


def check_voc(root: Path, layout: VocMasks, counts: tuple[int, int], findings: Findings, progress: Progress) -> None:
    """Checks a VOC devkit's segmentation.

    Args:
        counts: images for training and for the test.
    """
    home = root / layout.devkit
    folders = {part.folder for part in (*layout.train, *layout.test)}
    if not has_folders(root, [home / folder for folder in ("JPEGImages", *sorted(folders))], findings):
        return
    names: dict[str, set[str]] = {}
    for split, count, parts in zip(("train", "test"), counts, (layout.train, layout.test), strict=True):
        pairs = [
            (home / f"JPEGImages/{name}.jpg", home / f"{part.folder}/{name}.png")
            for part in parts
            for name in read_list(home / f"ImageSets/Segmentation/{part.names}.txt", root, findings)
        ]
        names[split] = {image.stem for image, _ in pairs}
        _check_count(split, len(pairs), count, findings)
        _check_pairs(pairs, layout.num_classes, root, findings, progress, split)
    for name in names["train"] & names["test"]:
        findings.add(LEAK, name)


def check_cityscapes(
    root: Path, layout: CityscapesMasks, counts: tuple[int, int], findings: Findings, progress: Progress
) -> None:
    """Checks Cityscapes' fine annotations, 19 classes.

    Args:
        counts: images in ``train`` and ``val``.
    """
    splits = ("train", "val")
    if not has_folders(root, [root / kind / split for split in splits for kind in ("leftImg8bit", "gtFine")], findings):
        return
    for split, count in zip(splits, counts, strict=True):
        images = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
        pairs = [(image, _cityscapes_mask(root, split, image)) for image in images]
        _check_count(split, len(pairs), count, findings)
        _check_pairs(pairs, 19, root, findings, progress, split)


def _cityscapes_mask(root: Path, split: str, image: Path) -> Path:
    name = image.name.replace("_leftImg8bit.png", "_gtFine_labelTrainIds.png")
    return root / "gtFine" / split / image.parent.name / name


def _check_count(split: str, found: int, wanted: int, findings: Findings) -> None:
    if found != wanted:
        findings.add(WRONG_COUNT, f"{split} has {found:,}, not {wanted:,}")


def _check_pairs(
    pairs: Sequence[tuple[Path, Path]],
    num_classes: int,
    root: Path,
    findings: Findings,
    progress: Progress,
    split: str,
) -> None:
    def check(pair: tuple[Path, Path]) -> None:
        image, mask = pair
        check_image(image, _check_mask(mask, num_classes, root, findings), root, findings)

    for_each(pairs, check, progress, f"images and masks of {split}")


def _check_mask(path: Path, num_classes: int, root: Path, findings: Findings) -> tuple[int, int] | None:
    """Notes what is wrong with a mask; its (width, height) if it can be read."""
    name = path.relative_to(root).as_posix()
    if not path.is_file():
        findings.add(MISSING, name)
        return None
    try:
        mask = labels(path)
    except ValueError as error:
        findings.add(IMPOSSIBLE_LABEL, f"{name} ({error})")
        return None
    except BROKEN:
        findings.add(IMPOSSIBLE_LABEL, f"{name} (cannot be read)")
        return None
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    impossible = [int(label) for label in present if num_classes <= label != IGNORED]
    if impossible:
        findings.add(IMPOSSIBLE_LABEL, f"{name} ({', '.join(map(str, impossible[:3]))})")
    return mask.shape[1], mask.shape[0]
