"""COCO's twelve figures of generated detections, from the list of detections on, by the fast way and by pycocotools."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tools.bench.case import Args, Case
from transfer.tasks.detection.coco_metrics import IouType, coco_figures
from twist_common.errors import UserError

HEIGHT, WIDTH = 480, 640  # the usual size of a COCO image
TARGETS: dict[IouType, float] = {"bbox": 5.0, "segm": 3.0}
NAMES: dict[IouType, str] = {"bbox": "box", "segm": "mask"}


def coco_metrics_cases(args: Args) -> list[Case]:
    """Boxes and masks, with 80 classes, about 7 objects and 100 detections per image."""
    num_images = 200 if args.images is None else args.images
    if num_images < 4:
        raise UserError(f"--images is {num_images}: coco-metrics needs 4 or more")
    made = []
    for iou_type, target in TARGETS.items():
        of_type = num_images if iou_type == "bbox" else num_images // 4
        ours = partial(coco_figures, *generate(of_type, seed=0, with_masks=iou_type == "segm"), iou_type)
        what = f"COCO's figures of {NAMES[iou_type]} detections in {of_type} images, against pycocotools"
        made.append(Case(f"coco-metrics-{NAMES[iou_type]}", what, "s", ours, partial(ours, oracle=True), target))
    return made


def generate(
    num_images: int, *, seed: int, with_masks: bool, num_classes: int = 80, num_detections: int = 100
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth (up to 14 objects an image, one in twenty a crowd) and detections, most of them near an object.

    Scores are rounded, so that ties occur; every seventh image has no object, every eleventh no detection.

    Args:
        num_detections: an image.
        with_masks: ellipses as compressed RLE, beside the boxes.

    Returns:
        What :func:`~transfer.tasks.detection.coco_metrics.coco_figures` takes.
    """
    rng = np.random.default_rng(seed)
    images = [{"id": number, "height": HEIGHT, "width": WIDTH} for number in range(1, num_images + 1)]
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image in images:
        objects = [] if image["id"] % 7 == 0 else [_object(rng, num_classes) for _ in range(rng.integers(1, 15))]
        for each in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": image["id"], **_shape(each, with_masks)})
        for _ in range(0 if image["id"] % 11 == 0 else num_detections):
            origin = objects[rng.integers(len(objects))] if objects and rng.random() < 0.6 else None
            origin = origin or _object(rng, num_classes)
            jitter = rng.normal(scale=0.1 * max(origin["bbox"][2:]), size=4)
            x, y, width, height = (float(value) for value in np.add(origin["bbox"], jitter))
            found = {
                "category_id": origin["category_id"],
                "bbox": [x, y, max(width, 2.0), max(height, 2.0)],
                "score": round(float(rng.random()), 3),
            }
            detections.append({"image_id": image["id"], **_shape(found, with_masks)})
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, num_classes + 1)]
    return {"images": images, "annotations": annotations, "categories": categories}, detections


def _object(rng: np.random.Generator, num_classes: int) -> dict[str, Any]:
    width, height = np.exp(rng.uniform(np.log(8), np.log(300), size=2))
    box = [float(rng.uniform(0, WIDTH - width)), float(rng.uniform(0, HEIGHT - height)), float(width), float(height)]
    return {
        "category_id": int(rng.integers(1, num_classes + 1)),
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": int(rng.random() < 0.05),
    }


def _shape(each: dict[str, Any], with_mask: bool) -> dict[str, Any]:
    if not with_mask:
        return each
    from pycocotools import mask

    x, y, width, height = each["bbox"]
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    ellipse = ((columns - x) / width - 0.5) ** 2 + ((rows - y) / height - 0.5) ** 2 <= 0.25
    encoded = mask.encode(np.asfortranarray(ellipse.astype(np.uint8)))
    rle = {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}
    area = {"area": float(mask.area(encoded))} if "area" in each else {}
    return {**each, **area, "segmentation": rle}
