"""COCO's twelve figures are pycocotools', whatever the detections."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.bench.coco_metrics import generate
from transfer.outcomes.file import packed, read_outcomes
from transfer.tasks.detection.coco_metrics import FIGURES, IouType, coco_figures
from transfer.tasks.detection.matches import PREFIXES, coco_matches

IOU_TYPES: tuple[IouType, ...] = ("bbox", "segm")


def both_ways(ground_truth: dict[str, Any], detections: list[dict[str, Any]], iou_type: IouType) -> dict[str, float]:
    """The figures, after they were found equal to pycocotools'."""
    before = copy.deepcopy((ground_truth, detections))
    figures = coco_figures(ground_truth, detections, iou_type)
    oracle = coco_figures(ground_truth, detections, iou_type, oracle=True)
    assert (ground_truth, detections) == before, "the input is the caller's"
    assert tuple(figures) == tuple(oracle) == FIGURES
    np.testing.assert_allclose(list(figures.values()), list(oracle.values()), rtol=0, atol=1e-9)
    if ground_truth["annotations"] and all(annotation["id"] for annotation in ground_truth["annotations"]):
        matches = read_outcomes(packed(coco_matches(ground_truth, detections, [iou_type])), "the matches")
        names = {f"{PREFIXES[iou_type]}_{name}": 100 * figures[name] for name in ("ap", "ap50", "ap75")}
        assert matches.metrics() == pytest.approx(names, rel=1e-12, abs=1e-12)
    return figures


@pytest.mark.parametrize("iou_type", IOU_TYPES)
@pytest.mark.parametrize(("num_classes", "seed"), [(3, 1), (12, 2)])
def test_twelve_figures_with_crowds_ties_and_empty_images(iou_type: IouType, num_classes: int, seed: int) -> None:
    ground_truth, detections = generate(
        15, seed=seed, with_masks=iou_type == "segm", num_classes=num_classes, num_detections=40
    )
    scores = [detection["score"] for detection in detections]
    assert any(annotation["iscrowd"] for annotation in ground_truth["annotations"])
    assert len(set(scores)) < len(scores), "ties occur"
    assert {7, 14}.isdisjoint(annotation["image_id"] for annotation in ground_truth["annotations"])
    assert 11 not in {detection["image_id"] for detection in detections}
    figures = both_ways(ground_truth, detections, iou_type)
    assert all(0 < value < 1 for value in figures.values())


@pytest.mark.parametrize("iou_type", IOU_TYPES)
def test_more_than_a_hundred_detections_of_a_class_in_an_image(iou_type: IouType) -> None:
    ground_truth, detections = generate(2, seed=3, with_masks=iou_type == "segm", num_classes=1, num_detections=130)
    assert both_ways(ground_truth, detections, iou_type)["ar100"] > 0


@pytest.mark.parametrize("iou_type", IOU_TYPES)
def test_no_detection_at_all_scores_zero(iou_type: IouType) -> None:
    ground_truth, _ = generate(4, seed=4, with_masks=iou_type == "segm")
    assert set(both_ways(ground_truth, [], iou_type).values()) == {0.0}


@pytest.mark.parametrize("iou_type", IOU_TYPES)
def test_no_object_at_all_has_no_figure(iou_type: IouType) -> None:
    ground_truth, detections = generate(3, seed=5, with_masks=iou_type == "segm", num_detections=5)
    figures = both_ways({**ground_truth, "annotations": []}, detections, iou_type)
    assert all(math.isnan(value) for value in figures.values())


def test_annotations_that_are_numbered_from_zero_are_scored_as_pycocotools_does() -> None:
    ground_truth, detections = generate(3, seed=6, with_masks=False, num_classes=2, num_detections=20)
    for number, annotation in enumerate(ground_truth["annotations"]):
        annotation["id"] = number
    with pytest.warns(UserWarning, match="annotation id 0"):
        both_ways(ground_truth, detections, "bbox")


@pytest.mark.parametrize("iou_type", IOU_TYPES)
def test_embedded_data_found_perfectly_scores_one(iou_type: IouType, digits: Path) -> None:
    """Polygons and uncompressed masks as they are in annotation files; crowds need no detection."""
    from pycocotools.coco import COCO

    file = digits / "coco/annotations/instances_val2017.json"
    ground_truth = json.loads(file.read_text())
    coco = COCO(str(file))
    detections = [
        {
            **{key: annotation[key] for key in ("image_id", "category_id", "bbox")},
            "score": 0.5,
            "segmentation": coco.annToRLE(annotation),
        }
        for annotation in ground_truth["annotations"]
        if not annotation["iscrowd"]
    ]
    figures = both_ways(ground_truth, detections, iou_type)
    assert figures["ap"] == pytest.approx(1.0)
