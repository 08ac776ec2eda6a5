"""Which detections match an object, image by image, as the evaluators match them: the outcomes of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.objects import IOU_THRESHOLDS, Detections, Matches
from transfer.tasks.detection.coco_metrics import IouType, pycocotools_evaluation

PREFIXES: dict[IouType, str] = {"bbox": "box", "segm": "mask"}


def coco_matches(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], iou_types: Sequence[IouType]
) -> Matches:
    """By pycocotools, over objects of all sizes and 100 detections per image and class.

    Args:
        ground_truth, detections: as for :func:`transfer.tasks.detection.coco_metrics.coco_figures`.
    """
    num_images = len({image["id"] for image in ground_truth["images"]})
    num_classes = len({category["id"] for category in ground_truth["categories"]})
    objects = np.zeros((num_images, num_classes), dtype=np.int64)
    images: list[NDArray[np.int64]] = []
    matched: list[dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]] = [{} for _ in range(num_classes)]
    for iou_type in iou_types:
        evaluation = pycocotools_evaluation(ground_truth, detections, iou_type)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.evaluate()
        images = []
        for label in range(num_classes):
            of_label = evaluation.evalImgs[label * num_images : (label + 1) * num_images]
            found = [(image, each) for image, each in enumerate(of_label) if each is not None]
            for image, each in found:
                objects[image, label] = np.count_nonzero(np.asarray(each["gtIgnore"]) == 0)
            sizes = [len(each["dtScores"]) for _, each in found]
            scores = np.concatenate([[], *(each["dtScores"] for _, each in found)])
            order = np.argsort(-scores, kind="mergesort")  # as pycocotools orders them
            images.append(np.repeat([image for image, _ in found], sizes).astype(np.int64)[order])
            empty = np.zeros((len(IOU_THRESHOLDS), 0))
            hits, ignored = (
                np.concatenate([empty, *(each[name] for _, each in found)], axis=1)[:, order] > 0
                for name in ("dtMatches", "dtIgnore")
            )
            matched[label][PREFIXES[iou_type]] = hits & ~ignored, ignored
    classes = [Detections(*each).needed() for each in zip(images, matched, strict=True)]
    return Matches("coco", objects, classes)


def voc_matches(
    lines: Sequence[Sequence[str]], objects: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str], form: str
) -> Matches:
    """As Detectron2's ``voc_eval`` matches: a detection goes to the object that it overlaps most, taken or not.

    Args:
        lines: of each class, ``"<number of the image> <score> <x0> <y0> <x1> <y1>"``.
        objects: of each image, with ``name``, ``bbox`` (x0, y0, x1, y1, inclusive) and ``difficult``.
        names: of the classes.
        form: a key of :data:`transfer.outcomes.objects.RECALLS`.
    """
    thresholds = np.array(IOU_THRESHOLDS)
    counts = np.zeros((len(objects), len(names)), dtype=np.int64)
    classes = []
    for label, name in enumerate(names):
        boxes, difficult, taken = [], [], []
        for image, every in enumerate(objects):
            own = [each for each in every if each["name"] == name]
            boxes.append(np.array([each["bbox"] for each in own], dtype=float).reshape(-1, 4))
            difficult.append([bool(each["difficult"]) for each in own])
            taken.append(np.zeros((len(thresholds), len(own)), dtype=bool))
            counts[image, label] = len(own) - sum(difficult[-1])
        found = np.array([line.split(" ") for line in lines[label]], dtype=float).reshape(-1, 6)
        found = found[np.argsort(-found[:, 1])]  # as Detectron2 orders them, ties included
        right, ignored = np.zeros((2, len(thresholds), len(found)), dtype=bool)
        for place, (image, _, *box) in enumerate(found):
            overlaps = _overlaps(boxes[int(image)], box)
            if not len(overlaps):
                continue
            nearest = int(overlaps.argmax())
            over = overlaps[nearest] > thresholds
            if difficult[int(image)][nearest]:
                ignored[:, place] = over
            else:
                right[:, place] = over & ~taken[int(image)][:, nearest]
                taken[int(image)][:, nearest] |= over
        classes.append(Detections(found[:, 0].astype(np.int64), {"box": (right, ignored)}).needed())
    return Matches(form, counts, classes)


def _overlaps(boxes: NDArray[np.float64], box: Sequence[float]) -> NDArray[np.float64]:
    """(G,) intersection over union of G boxes with one, of whole pixels."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    width, height = np.maximum(high - low + 1.0, 0.0).T
    shared = width * height
    own = (box[2] - box[0] + 1.0) * (box[3] - box[1] + 1.0)
    return shared / (own + (boxes[:, 2] - boxes[:, 0] + 1.0) * (boxes[:, 3] - boxes[:, 1] + 1.0) - shared)
