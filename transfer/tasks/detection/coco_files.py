"""COCO's annotation files, read alike by the doctor, the training and the test. Imports no framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_coco(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The content of an ``instances_*.json``, with what evaluators and Detectron2 ask for, and what was changed.

    - An annotation of id 0 is never found by COCO's evaluators, for which 0 is "no match"
      (https://github.com/cocodataset/cocoapi/issues/664): then all are numbered anew from 1.
    - ``ignore: 1`` becomes a crowd, which is neither trained on nor scored: Detectron2 refuses such a file, and
      evaluators overwrite it (pycocotools/cocoeval.py, ``gt['ignore'] = 'iscrowd' in gt and gt['iscrowd']``).
    - A missing ``iscrowd`` is 0, and a missing ``area``, by which objects are small, medium or large, is that of the
      mask, or of the box where there is none.

    Returns:
        The content, and a sentence for each kind of change.

    Raises:
        OSError: there is no such file.
        ValueError, KeyError, TypeError, AttributeError: it is not JSON, or not of COCO's form.
    """
    try:
        content = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("nested too deeply for JSON of COCO's form") from None
    annotations = content["annotations"]
    remarks = []
    if any(annotation["id"] == 0 for annotation in annotations):
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
        remarks.append(f"{path.name} has an annotation of id 0, which evaluators never match: all are numbered from 1")
    ignored = [annotation for annotation in annotations if annotation.get("ignore")]
    for annotation in ignored:
        annotation["iscrowd"], annotation["ignore"] = 1, 0
    if ignored:
        remarks.append(f"{path.name} has annotations to ignore ({len(ignored):,}): they are taken for crowds")
    images = {image["id"]: image for image in content["images"]}
    without_area = 0
    for annotation in annotations:
        annotation.setdefault("iscrowd", 0)
        if "area" not in annotation:
            annotation["area"] = _area(annotation, images.get(annotation["image_id"], {}))
            without_area += 1
    if without_area:
        remarks.append(f"{path.name} has annotations without an area ({without_area:,}): the mask's or box's is taken")
    return content, remarks


def image_path(folder: Path, file_name: str) -> Path:
    """The file of an image; its name may begin with the folder's (as Roboflow and labelme2coco write it)."""
    path = folder / file_name
    return path if path.is_file() or not (folder.parent / file_name).is_file() else folder.parent / file_name


def _area(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> float:
    if (segmentation := annotation.get("segmentation")) and image:
        from pycocotools import mask

        height, width = image["height"], image["width"]
        if isinstance(segmentation, list):
            segmentation = mask.merge(mask.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            segmentation = mask.frPyObjects(segmentation, height, width)
        return float(mask.area(segmentation))
    _, _, width, height = annotation["bbox"]
    return float(width * height)
