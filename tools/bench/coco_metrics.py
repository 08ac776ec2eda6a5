"""``python -m tools.bench.coco_metrics``: COCO's figures by the fast way and by pycocotools in turn, as a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from common import cli
from common.errors import UserError
from transfer.tasks.detection.coco_metrics import IouType, coco_figures

HEIGHT, WIDTH = 480, 640  # the usual size of a COCO image
TARGETS: dict[IouType, float] = {"bbox": 5.0, "segm": 3.0}
NAMES: dict[IouType, str] = {"bbox": "box", "segm": "mask"}


@dataclass(frozen=True)
class Args:
    """Measures the evaluation of generated detections: 80 classes, 7 objects and 100 detections an image.

    From the list of detections to the twelve figures, as a trial has it. Both ways run in turn in one process; the
    ratio is that of the medians.
    """

    images: int = 200
    """images for boxes; masks take a quarter of them"""
    repeats: int = 5
    """measurements of each way"""


def main(args: Args) -> int:
    if args.images < 4 or args.repeats < 1:
        raise UserError("--images must be 4 or more, and --repeats 1 or more")
    for iou_type, target in TARGETS.items():
        num_images = args.images if iou_type == "bbox" else args.images // 4
        ground_truth, detections = generate(num_images, seed=0, with_masks=iou_type == "segm")
        ours, oracle = _measure(ground_truth, detections, iou_type, args.repeats)
        ratios = [slow / fast for fast, slow in zip(ours, oracle, strict=True)]
        ratio = statistics.median(oracle) / statistics.median(ours)
        print(
            f"{NAMES[iou_type]}: {ratio:.2f} times pycocotools [{min(ratios):.2f}, {max(ratios):.2f}] "
            f"(ours {statistics.median(ours):.3f} s, pycocotools {statistics.median(oracle):.3f} s, "
            f"{num_images} images, {len(detections)} detections, {args.repeats} pairs); "
            f"target {target:g}: {'reached' if ratio >= target else 'MISSED'}"
        )
    return cli.EXIT_DONE


def _measure(
    ground_truth: dict[str, Any], detections: list[dict[str, Any]], iou_type: IouType, repeats: int
) -> tuple[list[float], list[float]]:
    def seconds(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    ours, oracle = [], []
    for _ in range(repeats + 1):
        ours.append(seconds(lambda: coco_figures(ground_truth, detections, iou_type)))
        oracle.append(seconds(lambda: coco_figures(ground_truth, detections, iou_type, oracle=True)))
    return ours[1:], oracle[1:]  # the first of each pays for imports


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
            found = _detection(rng, objects, num_classes)
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


def _detection(rng: np.random.Generator, objects: list[dict[str, Any]], num_classes: int) -> dict[str, Any]:
    near = objects[rng.integers(len(objects))] if objects and rng.random() < 0.6 else None
    origin = near or _object(rng, num_classes)
    jitter = rng.normal(scale=0.1 * max(origin["bbox"][2:]), size=4)
    x, y, width, height = (float(value) for value in np.add(origin["bbox"], jitter))
    return {
        "category_id": origin["category_id"],
        "bbox": [x, y, max(width, 2.0), max(height, 2.0)],
        "score": round(float(rng.random()), 3),
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


if __name__ == "__main__":
    cli.run(Args, main, prog="python -m tools.bench.coco_metrics")
