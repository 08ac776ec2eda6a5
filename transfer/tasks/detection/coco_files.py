"""COCO's annotation files, read alike by the doctor, the training and the test. Imports no framework."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twist_common.images import NO_IMAGE, what_it_is

MAX_ID = 2**53  # evaluators keep some of them as floating-point numbers


def read_coco(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The content of an ``instances_*.json``, with what evaluators and Detectron2 ask for, and what was changed.

    - An annotation of id 0 is never found by COCO's evaluators, for which 0 is "no match"
      (https://github.com/cocodataset/cocoapi/issues/664), nor is one below 0, and an id that is missing or no whole
      number ends in an error: then all are numbered anew from 1. So are images and categories whose ids are no whole
      numbers, which evaluators keep in C.
    - ``ignore: 1`` becomes a crowd, which is neither trained on nor scored: Detectron2 refuses such a file, and
      evaluators overwrite it (pycocotools/cocoeval.py, ``gt['ignore'] = 'iscrowd' in gt and gt['iscrowd']``).
    - Annotations may name images and categories by their ids as texts, or the other way round.
    - A segmentation without a polygon, ``[[]]``, is none.
    - A missing ``iscrowd`` is 0, and an ``area``, by which objects are small, medium or large, that is missing or no
      number from 0 on, is that of the mask, or of the box where there is none.

    Returns:
        The content, and a sentence for each kind of change.

    Raises:
        OSError: there is no such file.
        ValueError, KeyError, TypeError, AttributeError: it is not JSON, or not of COCO's form.
    """
    raw = path.read_bytes()
    try:
        content = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply for JSON of COCO's form") from None
    except ValueError as error:
        packed = "it is packed by gzip: unpack it" if raw.startswith(b"\x1f\x8b") else ""
        encoding = "its text is not UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        what = what_it_is(raw)
        raise ValueError(packed or encoding or (str(error) if what == NO_IMAGE else what)) from None
    _check_form(content)
    annotations = content["annotations"]
    remarks = [f"{path.name} has {what}" for what in _numbered(content)]
    ignored = [annotation for annotation in annotations if _flag(annotation, "ignore")]
    for annotation in annotations:
        annotation["iscrowd"] = _flag(annotation, "iscrowd")
    for annotation in ignored:
        annotation["iscrowd"], annotation["ignore"] = 1, 0
    if ignored:
        remarks.append(f"{path.name} has annotations to ignore ({len(ignored):,}): they are taken for crowds")
    images = {image["id"]: image for image in content["images"]}
    without_area = 0
    for annotation in annotations:
        if not (_is_number(area := annotation.get("area")) and 0 <= area < math.inf):
            annotation["area"] = _area(annotation, images.get(annotation["image_id"], {}))
            without_area += 1
    if without_area:
        remarks.append(f"{path.name} has annotations without an area ({without_area:,}): the mask's or box's is taken")
    return content, remarks


def _check_form(content: dict[str, Any]) -> None:
    """Raises ValueError where an image, a category or a box lacks something; names, sizes, masks are set in place."""
    if not isinstance(content, dict):
        raise ValueError(f"it is a JSON {type(content).__name__}, not an object")
    for kind in ("images", "categories", "annotations"):
        if not (isinstance(content[kind], list) and all(isinstance(each, dict) for each in content[kind])):
            raise ValueError(f"its {kind} are no list of objects")
    for image in content["images"]:
        if not isinstance(image.get("file_name"), str):
            raise ValueError(f"the image of id {image.get('id')} has no file_name")
        for side in ("width", "height"):
            size = image.get(side)
            if isinstance(size, str) and size.strip().isdecimal():
                size = int(size)
            if not (_is_number(size) and float(size).is_integer() and size > 0):
                raise ValueError(f"the {side} of {image['file_name']} is {size!r}, not a whole number above 0")
            image[side] = int(size)
    for category in content["categories"]:
        name = category.get("name")
        category["name"] = str(name).strip() if isinstance(name, str | int) else ""
        if not category["name"]:
            raise ValueError(f"the category of id {category.get('id')} has no name")
    ids = [category["id"] for category in content["categories"]]
    if len(set(ids)) < len(ids):
        raise ValueError(f"several categories have the id {next(each for each in ids if ids.count(each) > 1)}")
    for annotation in content["annotations"]:
        box = annotation.get("bbox")
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise ValueError(f"the bbox of annotation {annotation.get('id')} is {str(box)[:40]}, not four numbers")
        if isinstance(annotation.get("segmentation"), list) and not any(annotation["segmentation"]):
            annotation["segmentation"] = []


def _numbered(content: dict[str, Any]) -> list[str]:
    """Numbers anew, in place, what evaluators cannot tell apart by its ids; returns what that was."""
    changes = []
    annotations = content["annotations"]
    ids = [annotation.get("id") for annotation in annotations]
    if not all(type(each) is int and 0 < each < MAX_ID for each in ids):
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
        what = (
            "an annotation of id 0" if 0 in ids else "annotations whose ids are missing or no whole numbers from 1 on"
        )
        changes.append(f"{what}, which evaluators never match: all are numbered from 1")
    for kind, reference in (("images", "image_id"), ("categories", "category_id")):
        ids = [each["id"] for each in content[kind]]
        numbers = {each: each for each in ids}
        if not all(type(each) is int and abs(each) < MAX_ID for each in ids):
            numbers = {each: number for number, each in enumerate(numbers, start=1)}
            changes.append(f"{kind} whose ids are no whole numbers: they are numbered from 1")
        by_text = {str(each): number for each, number in numbers.items()}
        for each in content[kind]:
            each["id"] = numbers[each["id"]]
        for annotation in annotations:  # 3.0 becomes 3, and so does "3"; what is of none stays so
            named = annotation[reference]
            annotation[reference] = numbers.get(named, by_text.get(str(named), f"unknown {named}"))
    return changes


def _flag(annotation: Mapping[str, Any], key: str) -> int:
    """``iscrowd`` or ``ignore`` as 0 or 1, however it is written.

    Raises:
        ValueError: it is neither.
    """
    value = annotation.get(key)
    if value in (None, 0, "0"):
        return 0
    if value in (1, "1"):
        return 1
    raise ValueError(f"{key} of annotation {annotation['id']} is {str(value)[:40]!r}, neither 0 nor 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def why_unreadable(error: Exception) -> str:
    """What :func:`read_coco` raised, for people."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]}"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def image_path(folder: Path, file_name: str) -> Path:
    """The file of an image; its name may begin with the folder's (as Roboflow and labelme2coco write it).

    It may have Windows' separators.
    """
    path = folder / file_name
    if "\\" in file_name and not path.is_file():
        return image_path(folder, file_name.replace("\\", "/"))
    return path if path.is_file() or not (folder.parent / file_name).is_file() else folder.parent / file_name


def run_lengths(counts: str | list[int]) -> list[int]:
    """The lengths of a mask's runs, of COCO's compressed text too.

    A length is written in characters of five bits from ``0`` on, the lowest first and a sixth for "more follow", with
    its sign, and from the third one on as the difference from the one before the last
    (https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c, ``rleToString``).
    """
    if not isinstance(counts, str):
        return counts
    lengths: list[int] = []
    value = place = 0
    for code in counts.encode():
        bits = code - 48
        value |= (bits & 31) << place
        place += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << place
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = place = 0
    return lengths


def _area(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> float:
    _, _, width, height = annotation["bbox"]
    if not (segmentation := annotation.get("segmentation")) or not image:
        return float(width * height)
    from pycocotools import mask

    size = image["height"], image["width"]
    try:
        if isinstance(segmentation, list):
            segmentation = mask.merge(mask.frPyObjects(segmentation, *size))
        elif isinstance(segmentation["counts"], list):
            segmentation = mask.frPyObjects(segmentation, *size)
        return float(mask.area(segmentation))
    except (OverflowError, TypeError, ValueError, KeyError, IndexError, AttributeError):
        return float(width * height)  # the check of the data names the mask
