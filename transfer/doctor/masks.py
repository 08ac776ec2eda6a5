"""Pairs of an image and its mask of class indices: VOC with SBD, Cityscapes, ADE20K, the embedded digits, own ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.doctor.files import check_count, check_image, for_each, has_folders, read_list, read_or_note, repeated
from transfer.doctor.findings import (
    IMPOSSIBLE_LABEL,
    LEAK,
    NOTHING_LABELLED,
    REPEATED,
    SEVERAL_COLUMNS,
    Findings,
)
from transfer.doctor.instances import Instances
from transfer.doctor.palettes import Palettes
from transfer.doctor.smoothed import Edges
from transfer.layouts import AdeMasks, CityscapesMasks, MaskList, OwnMasks, VocMasks
from transfer.tasks.segmentation.masks import IGNORED, class_indices, mask_pairs
from twist_common.progress import Progress

ADE20K = "ADEChallengeData2016"
# By Pillow's names, what OpenCV reads too, which decodes the images of trials: each was tried with opencv 5.0.
OPENCV = frozenset({"JPEG", "MPO", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF", "AVIF", "JPEG2000"})


def check_voc(layout: VocMasks, findings: Findings, progress: Progress) -> None:
    """Checks a VOC devkit's segmentation."""
    folders = {part.folder for part in (*layout.train, *layout.test)}
    home = findings.root / layout.devkit
    if not has_folders([home / folder for folder in ("JPEGImages", *sorted(folders))], findings):
        return
    names: dict[str, set[str]] = {}
    for split, count, parts in (("train", layout.num_train, layout.train), ("test", layout.num_test, layout.test)):
        pairs = voc_pairs(layout, parts, findings)
        names[split] = {image.stem for image, _ in pairs}
        _check_pairs(split, pairs, count, layout.num_classes, findings, progress)
    for name in names["train"] & names["test"]:
        findings.add(LEAK, name)


def voc_pairs(layout: VocMasks, parts: Sequence[MaskList], findings: Findings) -> list[tuple[Path, Path]]:
    """The images of some lists with their masks; notes lists that are missing."""
    home = findings.root / layout.devkit
    return [
        (home / f"JPEGImages/{name}.jpg", home / f"{part.folder}/{name}.png")
        for part in parts
        for name in _names(home / f"ImageSets/Segmentation/{part.names}.txt", home / "JPEGImages", findings)
    ]


def _names(path: Path, images: Path, findings: Findings) -> list[str]:
    """The names in a list, of which MMSegmentation takes the whole line."""
    names = read_list(path, lambda path: [line.strip() for line in path.read_text("utf-8").splitlines()], findings)
    names = [name for name in names if name]
    if any(len(name.split()) > 1 and not (images / f"{name}.jpg").is_file() for name in names):
        findings.add(SEVERAL_COLUMNS, path)
        return []
    return names


def check_cityscapes(layout: CityscapesMasks, findings: Findings, progress: Progress) -> None:
    """Checks Cityscapes' fine annotations, 19 classes."""
    root = findings.root
    folders = [root / kind / split for split in ("train", "val") for kind in ("leftImg8bit", "gtFine")]
    if not has_folders(folders, findings):
        return
    for split, count in (("train", layout.num_train), ("val", layout.num_test)):
        pairs = []
        for image in cityscapes_images(root, split):
            name = image.name.replace("_leftImg8bit.png", "_gtFine_labelTrainIds.png")
            pairs.append((image, root / "gtFine" / split / image.parent.name / name))
        _check_pairs(split, pairs, count, 19, findings, progress)


def cityscapes_images(root: Path, split: str) -> list[Path]:
    """The images of ``train`` or ``val``."""
    return sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))


def check_ade20k(layout: AdeMasks, findings: Findings, progress: Progress) -> None:
    """Checks ADE20K's 150 classes, for which its masks have 1 to 150, and 0 for all else.

    255 is in masks from which 1 was taken already, as training codes do: there each class is another.
    """
    home = findings.root / ADE20K
    splits = (("train", "training", layout.num_train), ("test", "validation", layout.num_test))
    if not has_folders(
        [home / kind / folder for kind in ("images", "annotations") for _, folder, _ in splits], findings
    ):
        return
    names: dict[str, set[str]] = {}
    for split, folder, count in splits:
        images = ade20k_images(findings.root, folder)
        names[split] = {image.stem for image in images}
        pairs = [(image, home / f"annotations/{folder}/{image.stem}.png") for image in images]
        _check_pairs(split, pairs, count, 151, findings, progress, unlabelled=frozenset({0}))
    for name in names["train"] & names["test"]:
        findings.add(LEAK, name)


def ade20k_images(root: Path, folder: str) -> list[Path]:
    """The images of ``training`` or ``validation``."""
    return sorted((root / ADE20K / "images" / folder).glob("*.jpg"))


def check_own(layout: OwnMasks, findings: Findings, progress: Progress) -> None:
    """Checks a user's own images and masks."""
    folders = [folder for part in (layout.train, layout.test) for folder in (part.images, part.masks)]
    if not has_folders([findings.root / folder for folder in folders], findings):
        return
    read = partial(class_indices, values=layout.values, ignored=layout.ignored)
    listed: dict[str, set[Path]] = {}
    for split, count, part in (("train", layout.num_train, layout.train), ("test", layout.num_test, layout.test)):
        pairs = mask_pairs(findings.root, part)
        listed[split] = {image for image, _ in pairs}
        for image in repeated([image for image, _ in pairs]):
            findings.add(REPEATED, f"{findings.name(image)} in {part.names}")
        for mask in repeated(dict(pairs).values()):
            findings.add(REPEATED, f"{findings.name(mask)}, of several images")
        _check_pairs(split, pairs, count, len(layout.values), findings, progress, read=read)
    for image in listed["train"] & listed["test"]:
        findings.add(LEAK, image)


def _stored_indices(path: Path) -> NDArray[Any]:
    """(H, W) class indices: of a palette image the indices, not the colours."""
    with path.open("rb") as file, Image.open(file) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"its pixels are {image.mode}, not class indices")
        return np.asarray(image)


def _check_pairs(
    split: str,
    pairs: Sequence[tuple[Path, Path]],
    count: int,
    num_classes: int,
    findings: Findings,
    progress: Progress,
    *,
    unlabelled: frozenset[int] = frozenset({IGNORED}),
    read: Callable[[Path], NDArray[Any]] = _stored_indices,
) -> None:
    blank: list[Path] = []
    collected = Edges(), Palettes(), Instances()

    def check(pair: tuple[Path, Path]) -> None:
        image, mask = pair
        size = _check_mask(mask, num_classes, blank, collected, findings, unlabelled, read)
        check_image(image, size, findings, formats=OPENCV)

    check_count(split, len(pairs), count, findings)
    for_each(pairs, check, progress, f"images and masks of {split}")
    if split == "test" and 0 < len(pairs) == len(blank):
        findings.add(NOTHING_LABELLED, blank[0].parent)
    for each in collected:
        each.report(split, findings)
    for path in blank:
        findings.note("masks without a labelled pixel", path)


def _check_mask(
    path: Path,
    num_classes: int,
    blank: list[Path],
    collected: Sequence[Edges | Palettes | Instances],
    findings: Findings,
    unlabelled: frozenset[int],
    read: Callable[[Path], NDArray[Any]],
) -> tuple[int, int] | None:
    """Notes what is wrong with a mask; returns its (width, height) if it can be read.

    Args:
        blank: gets the masks without a labelled pixel.
        collected: get all masks.
        read: gives class indices; raises ValueError where a mask holds none.
    """
    if (mask := read_or_note(path, read, IMPOSSIBLE_LABEL, findings)) is None:
        return None
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    if unlabelled.issuperset(present.tolist()):
        blank.append(path)
    impossible = [int(label) for label in present if label >= num_classes and label not in unlabelled]
    if impossible:
        findings.add(IMPOSSIBLE_LABEL, f"{findings.name(path)} ({', '.join(map(str, impossible[:3]))})")
    for each in collected:
        each.look_at(path, mask)
    return mask.shape[1], mask.shape[0]
