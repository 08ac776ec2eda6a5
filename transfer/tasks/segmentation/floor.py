"""What a segmentation scores that never learned anything: background everywhere."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.runner import Runner
from mmseg.datasets.transforms import LoadAnnotations

METRIC_NAMES = {"mIoU": "miou", "mAcc": "macc", "aAcc": "aacc"}


def all_background(runner: Runner) -> dict[str, float]:
    """Scores class 0 at every pixel of the test masks, by the metric and settings of the trial.

    Returns:
        ``miou``, ``macc``, ``aacc`` in percent.
    """
    dataset = test_dataset(runner)
    metric = runner.test_loop.evaluator.metrics[0]
    steps = dataset.pipeline.transforms
    first = next(index for index, step in enumerate(steps) if isinstance(step, LoadAnnotations))
    num_classes = len(dataset.metainfo["classes"])
    areas = []
    for index in range(len(dataset)):
        results = dataset.get_data_info(index)
        for step in steps[first:-1]:  # the masks alone: without loading images, without packing
            results = step(results)
        mask = torch.from_numpy(results["gt_seg_map"])
        areas.append(metric.intersect_and_union(torch.zeros_like(mask), mask, num_classes, metric.ignore_index))
    return named(metric.compute_metrics(areas))


def test_dataset(runner: Runner) -> Any:
    """The Runner's test images."""
    return runner.test_loop.dataloader.dataset


def named(metrics: dict[str, float]) -> dict[str, float]:
    """MMSegmentation's metrics under the suite's names, in percent.

    A class that is neither in the masks nor in the predictions has no IoU, and MMSegmentation leaves it out of the
    mean; if that is so for all of them, the mean is NaN and stays NaN.
    """
    return {ours: round(float(metrics[theirs]), 2) for theirs, ours in METRIC_NAMES.items()}
