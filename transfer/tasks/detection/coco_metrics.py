"""COCO's twelve figures, computed by faster-coco-eval; pycocotools, which defines them, is the oracle.

Neither Detectron2 nor torch is imported here.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

IouType = Literal["bbox", "segm"]

# In pycocotools' order: average precision over IoU 0.50:0.95, at 0.50, at 0.75, of small, medium and large objects;
# average recall with 1, 10 and 100 detections per image, of small, medium and large objects.
FIGURES = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l", "ar1", "ar10", "ar100", "ar_s", "ar_m", "ar_l")


def coco_figures(
    ground_truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    iou_type: IouType,
    *,
    oracle: bool = False,
) -> dict[str, float]:
    """Scores detections as COCO does.

    Args:
        ground_truth: content of an ``instances_*.json``.
        detections: COCO's results: ``image_id``, ``category_id``, ``score``, ``bbox`` (x, y, width, height in pixels)
            and, for ``"segm"``, ``segmentation`` (compressed RLE). May be empty.
        oracle: whether pycocotools computes them, which takes several times as long; the figures are the same.

    Returns:
        :data:`FIGURES`, each 0 to 1, or NaN where the ground truth has no object of that size.
    """
    with stdout_to_log():
        stats = (_by_pycocotools if oracle else _by_faster_coco_eval)(ground_truth, detections, iou_type)
    return {name: float(value) if value >= 0 else float("nan") for name, value in zip(FIGURES, stats, strict=True)}


@contextlib.contextmanager
def stdout_to_log() -> Iterator[None]:
    """Evaluators print, whether or not they are asked to; what they say belongs in the trial's log."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        logging.getLogger("detectron2.evaluation").info(printed.getvalue())


def _by_faster_coco_eval(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], iou_type: IouType
) -> NDArray[np.float64]:
    from faster_coco_eval import COCO, COCOeval_faster
    from faster_coco_eval.core import mask

    # What `COCO.loadRes` makes of detections: numbered from 1, with the box's or the mask's area. `loadRes` itself
    # decodes each mask twice, in a call per mask: a third of the whole time.
    areas: Iterable[float]
    if iou_type == "bbox":
        shape, areas = "bbox", (detection["bbox"][2] * detection["bbox"][3] for detection in detections)
    else:
        shape, areas = "segmentation", mask.area([each["segmentation"] for each in detections]) if detections else ()
    results = [
        {
            "id": number,
            "image_id": detection["image_id"],
            "category_id": detection["category_id"],
            "score": detection["score"],
            "area": float(area),
            "iscrowd": 0,
            shape: detection[shape],
        }
        for number, (detection, area) in enumerate(zip(detections, areas, strict=True), start=1)
    ]
    truth = _indexed(COCO, ground_truth, [dict(annotation) for annotation in ground_truth["annotations"]])
    evaluation = COCOeval_faster(truth, _indexed(COCO, ground_truth, results), iou_type, print_function=print)
    evaluation.run()
    return evaluation.stats[: len(FIGURES)]


def _by_pycocotools(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], iou_type: IouType
) -> NDArray[np.float64]:
    evaluation = pycocotools_evaluation(ground_truth, detections, iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    stats: NDArray[np.float64] = evaluation.stats
    return stats


def pycocotools_evaluation(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], iou_type: IouType
) -> Any:
    """pycocotools' ``COCOeval`` before it has evaluated anything; arguments as for :func:`coco_figures`."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = _indexed(COCO, ground_truth, [dict(annotation) for annotation in ground_truth["annotations"]])
    # With a box beside the mask, loadRes would take the box's area for the mask's, and so its size class.
    unwanted = "bbox" if iou_type == "segm" else "segmentation"
    results = [{key: value for key, value in detection.items() if key != unwanted} for detection in detections]
    # loadRes refuses an empty list
    return COCOeval(truth, truth.loadRes(results) if results else _indexed(COCO, ground_truth, []), iou_type)


def _indexed(index: Any, ground_truth: Mapping[str, Any], annotations: list[dict[str, Any]]) -> Any:
    """One of the libraries' ``COCO`` over the ground truth's images and classes; writes into the annotations."""
    coco = index()
    coco.dataset = {**ground_truth, "annotations": annotations}
    coco.createIndex()
    return coco
