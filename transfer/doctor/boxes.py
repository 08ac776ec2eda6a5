"""Boxes and objects' masks: VOC's XML files and COCO's JSON."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.doctor.files import check_count, check_image, for_each, has_folders, read_list, repeated
from transfer.doctor.findings import (
    BROKEN_BOX,
    BROKEN_MASK,
    LEAK,
    MISSING,
    NO_MASK,
    REPEATED,
    UNKNOWN_CLASS,
    UNKNOWN_IMAGE,
    UNREADABLE_ANNOTATION,
    Findings,
)
from transfer.doctor.objects import FRACTIONS, Objects
from transfer.layouts import CocoBoxes, VocBoxes, VocList
from transfer.tasks.detection.coco_files import image_path, read_coco, run_lengths, why_unreadable
from transfer.tasks.detection.voc_files import image_of, read_annotation, read_names
from twist_common.errors import is_not_the_files
from twist_common.progress import Progress

# Pixels over the image's edge: VOC counts from 1, and both data sets have boxes that were rounded.
TOLERANCE = 1.0
MANY_ELSEWHERE = 0.2  # of a file's objects: single ones are in published data too


def check_voc(layout: VocBoxes, findings: Findings, progress: Progress) -> None:
    """Checks the detection part of VOC devkits."""
    seen: dict[str, set[tuple[Path, str]]] = {}
    for split, count, parts in (
        ("train", layout.num_train, layout.train),
        ("test", layout.num_test, layout.test),
    ):
        images, objects = voc_images(parts, findings), Objects()
        seen[split] = set(images)
        check_count(split, len(images), count, findings)
        check = functools.partial(_check_voc_image, layout.class_names, objects, findings)
        for_each(images, check, progress, f"images and boxes of {split}")
        objects.report(split, findings)
    for home, name in seen["train"] & seen["test"]:
        findings.add(LEAK, f"{home.name} {name}")


def voc_images(parts: Sequence[VocList], findings: Findings) -> list[tuple[Path, str]]:
    """The images of some lists, each as its year's folder and its name; notes folders and lists that are missing."""
    root = findings.root
    devkit = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    images: list[tuple[Path, str]] = []
    for part in parts:
        home = root / part.folder if part.folder else devkit / f"VOC{part.year}"
        if has_folders([home / "Annotations", home / "JPEGImages"], findings):
            read = functools.partial(read_names, images=home / "JPEGImages")
            names = read_list(home / f"ImageSets/Main/{part.names}.txt", read, findings)
            images += [(home, name) for name in names]
    return images


def _check_voc_image(
    class_names: Collection[str], objects: Objects, findings: Findings, named: tuple[Path, str]
) -> None:
    home, name = named
    image, path = image_of(home / "JPEGImages", name), home / f"Annotations/{name}.xml"
    try:
        annotation = read_annotation(path)
    except OSError as error:
        if is_not_the_files(error):
            raise
        findings.add(MISSING, path)
        check_image(image, None, findings)
        return
    except ValueError as error:
        findings.add(UNREADABLE_ANNOTATION, f"{findings.name(path)} ({error})")
        check_image(image, None, findings)
        return
    size = annotation.width, annotation.height
    for each in annotation.objects:
        if each.name not in class_names:
            findings.add(UNKNOWN_CLASS, f"{each.name} in {findings.name(path)}")
        x0, y0, x1, y1 = each.box  # from 1, the last pixel included
        objects.add(path, each.name, (x0 - 1, y0 - 1, x1, y1), *size)
        if problem := FRACTIONS if max(each.box) <= 1 else box_problem(x0 - 1, y0 - 1, x1, y1, *size):
            findings.add(BROKEN_BOX, f"{each.name} in {findings.name(path)} ({problem})")
    check_image(image, size, findings)


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


def check_coco(layout: CocoBoxes, findings: Findings, progress: Progress) -> None:
    """Checks COCO's instances."""
    home = coco_home(findings.root)
    seen: set[Path] = set()
    for part, count in ((layout.train, layout.num_train), (layout.test, layout.num_test)):
        file, folder = home / part.annotations, home / part.images
        split = file.stem.removeprefix("instances_")
        if not file.is_file():
            findings.add(MISSING, file)
        if not has_folders([folder], findings) or not file.is_file():
            continue
        progress(0, count, f"annotations of {split}")
        try:
            content, remarks = read_coco(file)
            for remark in remarks:
                findings.note("annotations that are read in another way than they say", remark)
            images = {image["id"]: image for image in content["images"]}
            check_count(split, len(images), count, findings)
            _check_coco_annotations(content, images, layout, findings.name(file), findings)
            files = [
                (image_path(folder, image["file_name"]), (image["width"], image["height"])) for image in images.values()
            ]
            for_each(files, lambda image: check_image(*image, findings), progress, f"images of {split}")
            paths = {path for path, _ in files}
            for path in repeated(path for path, _ in files):
                findings.add(REPEATED, f"{findings.name(path)} in {findings.name(file)}")
            for path in seen & paths:
                findings.add(LEAK, path)
            seen |= paths
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            findings.add(UNREADABLE_ANNOTATION, f"{findings.name(file)} ({why_unreadable(error)})")


def _check_coco_annotations(
    content: Mapping[str, Any],
    images: Mapping[int, Mapping[str, Any]],
    layout: CocoBoxes,
    name: str,
    findings: Findings,
) -> None:
    categories = {category["id"] for category in content["categories"]}
    for kind in ("images", "annotations"):
        for repeated_id in repeated(item["id"] for item in content[kind]):
            findings.add(REPEATED, f"{kind} id {repeated_id} in {name}")
    _check_around(content["annotations"], name, findings)
    objects = Objects()
    without_masks = not layout.has_masks or not any(each.get("segmentation") for each in content["annotations"])
    if without_masks and layout.has_masks and content["annotations"]:
        findings.add(NO_MASK, name)
    for annotation in content["annotations"]:
        where = f"annotation {annotation['id']} in {name}"
        if annotation["image_id"] not in images:
            findings.add(UNKNOWN_IMAGE, where)
            continue
        if annotation["category_id"] not in categories:
            findings.add(UNKNOWN_CLASS, where)
        image = images[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        box, size = (x, y, x + width, y + height), (image["width"], image["height"])
        objects.add(annotation["image_id"], annotation["category_id"], box, *size)
        problem = box_problem(*box, *size)
        if problem and not (problem == "empty" and annotation["image_id"] in layout.known_empty):
            findings.add(BROKEN_BOX, f"{where} ({problem})")
        if not without_masks and not _is_mask(annotation.get("segmentation"), image):
            findings.add(BROKEN_MASK, where)
    objects.report(name, findings)
    with_objects = {annotation["image_id"] for annotation in content["annotations"]}
    for each in images.keys() - with_objects if layout.class_names else ():
        findings.note(f"images of {name} without an object", images[each]["file_name"])


def _check_around(annotations: Sequence[Mapping[str, Any]], name: str, findings: Findings) -> None:
    """Notes files of which many objects have boxes that are not around their masks."""
    drawn = [each for each in annotations if each.get("segmentation") and not each["iscrowd"]]
    elsewhere = sum(not _is_around(each["bbox"], _box_of(each["segmentation"])) for each in drawn)
    if elsewhere > MANY_ELSEWHERE * len(drawn):
        findings.add(BROKEN_BOX, f"{elsewhere:,} of {name} (not around their masks)")


def _box_of(segmentation: Any) -> tuple[float, float, float, float] | None:
    """The box around polygons or run lengths, ``x0, y0, x1, y1``; None for what is broken."""
    if isinstance(segmentation, list):
        if not all(_is_polygon(polygon, math.inf, math.inf) for polygon in segmentation):
            return None
        xs, ys = ([value for polygon in segmentation for value in polygon[start::2]] for start in (0, 1))
        return min(xs), min(ys), max(xs), max(ys)
    try:
        height, width = map(int, segmentation["size"])
        ends = list(itertools.accumulate(run_lengths(segmentation["counts"])))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None
    runs = [(start, end) for start, end in zip(ends[::2], ends[1::2], strict=False) if end > start]  # in columns
    if height < 1 or not runs or ends[-1] != height * width:
        return None
    wraps = any(start // height != (end - 1) // height for start, end in runs)
    top = 0 if wraps else min(start % height for start, _ in runs)
    bottom = height if wraps else max((end - 1) % height + 1 for _, end in runs)
    return runs[0][0] // height, top, (runs[-1][1] - 1) // height + 1, bottom


def _is_around(box: Sequence[float], mask: tuple[float, float, float, float] | None) -> bool:
    """Whether a box and that of a mask have half of what both cover in common; yes where there is none."""
    if mask is None:
        return True
    x, y, width, height = box
    left, top, right, bottom = mask
    common = max(0.0, min(x + width, right) - max(x, left)) * max(0.0, min(y + height, bottom) - max(y, top))
    return 2 * common >= width * height + (right - left) * (bottom - top) - common


def _is_mask(segmentation: Any, image: Mapping[str, Any]) -> bool:
    """Polygons of three corners or more, or run lengths that fill the image."""
    width, height = image["width"], image["height"]
    if isinstance(segmentation, dict):
        lengths = run_lengths(segmentation["counts"])
        return segmentation["size"] == [height, width] and sum(lengths) == height * width and min(lengths) >= 0
    polygons = segmentation or []
    return bool(polygons) and all(_is_polygon(polygon, width, height) for polygon in polygons)


def _is_polygon(polygon: Any, width: float, height: float) -> bool:
    """A list of three corners or more, of which not all are beyond the same edge of the image."""
    if not isinstance(polygon, list) or not set(map(type, polygon)) <= {int, float}:
        return False
    xs, ys = polygon[::2], polygon[1::2]
    return (
        len(xs) == len(ys) >= 3
        and all(map(math.isfinite, polygon))
        and min(xs) < width
        and min(ys) < height
        and max(xs) > 0
        and max(ys) > 0
    )
