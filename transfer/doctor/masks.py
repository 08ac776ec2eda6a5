"""Pairs of an image and its mask of class indices: VOC with SBD, Cityscapes, and the embedded digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfer.doctor.files import BROKEN, Progress, check_image, for_each, has_folders, labels, read_list
from transfer.doctor.findings import IMPOSSIBLE_LABEL, LEAK, MISSING, WRONG_COUNT, Findings

IGNORED = 255


@dataclass(frozen=True)
class VocMasks:
    """Part of a split: names in ``ImageSets/Segmentation/<names>.txt``, their masks in ``folder``."""

    names: str
    folder: str


def check_voc(
    root: Path,
    devkit: str,
    splits: Mapping[str, tuple[int, Sequence[VocMasks]]],
    num_classes: int,
    findings: Findings,
    progress: Progress,
) -> None:
    """Checks a VOC devkit's segmentation.

    Args:
        root: the data root.
        devkit: the year's folder below it, e.g. ``"VOCdevkit/VOC2012"``.
        splits: ``"train"`` and ``"test"`` to (how many images, where they are listed).
        num_classes: with background.
    """
    home = root / devkit
    folders = {part.folder for _, parts in splits.values() for part in parts}
    if not has_folders(root, [home / folder for folder in ("JPEGImages", *sorted(folders))], findings):
        return
    names: dict[str, set[str]] = {}
    for split, (count, parts) in splits.items():
        pairs = [
            (home / f"JPEGImages/{name}.jpg", home / f"{part.folder}/{name}.png")
            for part in parts
            for name in read_list(home / f"ImageSets/Segmentation/{part.names}.txt", root, findings)
        ]
        names[split] = {image.stem for image, _ in pairs}
        _check_count(split, len(pairs), count, findings)
        _check_pairs(pairs, num_classes, root, findings, progress, split)
    for name in names["train"] & names["test"]:
        findings.add(LEAK, name)


def check_cityscapes(root: Path, counts: Mapping[str, int], findings: Findings, progress: Progress) -> None:
    """Checks Cityscapes' fine annotations, 19 classes.

    Args:
        counts: images in ``train`` and ``val``.
    """
    if not has_folders(root, [root / kind / split for split in counts for kind in ("leftImg8bit", "gtFine")], findings):
        return
    for split, count in counts.items():
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
