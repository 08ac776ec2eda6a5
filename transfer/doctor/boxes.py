"""Boxes and objects' masks: VOC's XML files and COCO's JSON."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.doctor.files import Progress, check_image, for_each, has_folders, read_list, repeated
from transfer.doctor.findings import (
    BROKEN_BOX,
    BROKEN_MASK,
    LEAK,
    MISSING,
    REPEATED,
    UNKNOWN_CLASS,
    UNKNOWN_IMAGE,
    UNREADABLE_ANNOTATION,
    WRONG_COUNT,
    Findings,
)
from transfer.rows import CocoBoxes, VocBoxes

# Pixels over the image's edge: VOC counts from 1, and both data sets have boxes that were rounded.
TOLERANCE = 1.0


def check_voc(root: Path, layout: VocBoxes, counts: tuple[int, int], findings: Findings, progress: Progress) -> None:
    """Checks the detection part of VOC devkits, below the data root or below ``VOCdevkit`` there.

    Args:
        counts: images for training and for the test.
    """
    devkit = voc_devkit(root)
    seen: dict[str, set[tuple[int, str]]] = {}
    for split, count, parts in zip(("train", "test"), counts, (layout.train, layout.test), strict=True):
        images: list[tuple[Path, str]] = []
        for part in parts:
            home = devkit / f"VOC{part.year}"
            if has_folders(root, [home / "Annotations", home / "JPEGImages"], findings):
                names = read_list(home / f"ImageSets/Main/{part.names}.txt", root, findings)
                images += [(home, name) for name in names]
        seen[split] = {(int(home.name.removeprefix("VOC")), name) for home, name in images}
        if len(images) != count:
            findings.add(WRONG_COUNT, f"{split} has {len(images):,}, not {count:,}")

        def check(image: tuple[Path, str]) -> None:
            home, name = image
            size = _check_voc_annotation(home / f"Annotations/{name}.xml", layout.class_names, root, findings)
            check_image(home / f"JPEGImages/{name}.jpg", size, root, findings)

        for_each(images, check, progress, f"images and boxes of {split}")
    for year, name in seen["train"] & seen["test"]:
        findings.add(LEAK, f"VOC{year} {name}")


def voc_devkit(root: Path) -> Path:
    """The folder that holds the years of a VOC data root."""
    return root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root


def _check_voc_annotation(
    path: Path, class_names: Collection[str], root: Path, findings: Findings
) -> tuple[int, int] | None:
    """Notes what is wrong with an annotation; the image's (width, height) if it can be read."""
    name = path.relative_to(root).as_posix()
    if not path.is_file():
        findings.add(MISSING, name)
        return None
    try:
        tree = ET.parse(path)
        width, height = (int(_text(tree, f"size/{side}")) for side in ("width", "height"))
        objects = [
            (_text(item, "name"), [float(_text(item, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")])
            for item in tree.findall("object")
        ]
    except (OSError, ET.ParseError, ValueError):
        findings.add(UNREADABLE_ANNOTATION, name)
        return None
    for class_name, (x0, y0, x1, y1) in objects:
        if class_name not in class_names:
            findings.add(UNKNOWN_CLASS, f"{class_name} in {name}")
        if problem := box_problem(x0 - 1, y0 - 1, x1, y1, width, height):  # from 1, the last pixel included
            findings.add(BROKEN_BOX, f"{class_name} in {name} ({problem})")
    return width, height


def _text(element: Any, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"no {path}")
    return text.strip()


def box_problem(x0: float, y0: float, x1: float, y1: float, width: float, height: float) -> str:
    """What is wrong with the box from (x0, y0) to (x1, y1), in pixels from 0; empty if nothing is."""
    if not all(math.isfinite(side) for side in (x0, y0, x1, y1)):
        return "not a number"
    if x1 < x0 or y1 < y0:
        return "inverted"
    if x1 == x0 or y1 == y0:
        return "empty"
    if min(x0, y0) < -TOLERANCE or x1 > width + TOLERANCE or y1 > height + TOLERANCE:
        return "outside the image"
    return ""


def coco_home(root: Path) -> Path:
    """COCO's folder: the data root, or ``coco`` below it."""
    return root / "coco" if (root / "coco").is_dir() else root


def check_coco(root: Path, layout: CocoBoxes, counts: tuple[int, int], findings: Findings, progress: Progress) -> None:
    """Checks COCO's instances.

    Args:
        counts: images in train2017 and val2017.
    """
    home = coco_home(root)
    for split, count in zip(("train2017", "val2017"), counts, strict=True):
        file = home / f"annotations/instances_{split}.json"
        name = file.relative_to(root).as_posix()
        if not file.is_file():
            findings.add(MISSING, name)
        if not has_folders(root, [home / split], findings) or not file.is_file():
            continue
        progress(0, count, f"annotations of {split}")
        try:
            content = json.loads(file.read_bytes())
            images = {image["id"]: image for image in content["images"]}
            if len(images) != count:
                findings.add(WRONG_COUNT, f"{split} has {len(images):,}, not {count:,}")
            _check_coco_annotations(content, images, name, findings, layout.known_empty)
            _check_coco_images(list(images.values()), home / split, root, findings, progress)
        except (ValueError, KeyError, TypeError, AttributeError):
            findings.add(UNREADABLE_ANNOTATION, name)


def _check_coco_images(
    images: Sequence[Mapping[str, Any]], folder: Path, root: Path, findings: Findings, progress: Progress
) -> None:
    def check(image: Mapping[str, Any]) -> None:
        check_image(folder / image["file_name"], (image["width"], image["height"]), root, findings)

    for_each(images, check, progress, f"images of {folder.name}")


def _check_coco_annotations(
    content: Mapping[str, Any],
    images: Mapping[int, Mapping[str, Any]],
    name: str,
    findings: Findings,
    known_empty: Collection[int],
) -> None:
    categories = {category["id"] for category in content["categories"]}
    for kind in ("images", "annotations"):
        for repeated_id in repeated(item["id"] for item in content[kind]):
            findings.add(REPEATED, f"{kind} id {repeated_id} in {name}")
    for annotation in content["annotations"]:
        where = f"annotation {annotation['id']} in {name}"
        if annotation["image_id"] not in images:
            findings.add(UNKNOWN_IMAGE, where)
            continue
        if annotation["category_id"] not in categories:
            findings.add(UNKNOWN_CLASS, where)
        image = images[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        problem = box_problem(x, y, x + width, y + height, image["width"], image["height"])
        if problem and not (problem == "empty" and annotation["image_id"] in known_empty):
            findings.add(BROKEN_BOX, f"{where} ({problem})")
        if not _is_mask(annotation.get("segmentation"), image):
            findings.add(BROKEN_MASK, where)


def _is_mask(segmentation: Any, image: Mapping[str, Any]) -> bool:
    """Polygons of three corners or more, or run lengths that fill the image."""
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        counts = segmentation["counts"]
        fills = isinstance(counts, str) or sum(counts) == height * width
        return fills and (width, height) == (image["width"], image["height"])
    polygons = segmentation or []
    return bool(polygons) and all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
