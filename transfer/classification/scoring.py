"""The final scoring: the test images are opened, passed once, and nothing is chosen by what comes out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfer.classification.labelled import LabelledImages, Splits
from transfer.classification.loader import batches, default_workers
from transfer.classification.metrics import topk_accuracy
from transfer.classification.transforms import Transform
from transfer.record import Metric
from transfer.trial import Trial


@torch.inference_mode()
def outputs(
    model: nn.Module,
    images: LabelledImages,
    view: Transform,
    *,
    batch_size: int,
    device: str,
    done: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float32]:
    """What the model says of every image, in eval mode and single precision: (N, ...).

    Args:
        done: called with the number of images done.
    """
    model.eval().to(device)
    parts: list[torch.Tensor] = []
    num_done = 0
    for views in batches(images, view, batch_size=batch_size, num_workers=default_workers(device)):
        parts.append(model(views.to(device, non_blocking=True)).float().cpu())
        num_done += len(views)
        done(num_done)
    return torch.cat(parts).numpy()


def final_scoring(
    model: nn.Module, splits: Splits, labelled: LabelledImages, *, view: Transform, batch_size: int, trial: Trial
) -> tuple[dict[str, Metric], dict[str, dict[str, float]]]:
    """Opens the test images and scores a classifier's logits: top-1 and top-5, and the floor beside them.

    Args:
        labelled: the images that the classifier was trained on; their most frequent class is the floor.

    Raises:
        UserError: the test images are missing or damaged.
    """
    test = splits.test.open()
    logits = outputs(
        model,
        test,
        view,
        batch_size=batch_size,
        device=trial.device,
        done=lambda rows: trial.progress(rows, len(test), "test images"),
    )
    return top_metrics(logits, test), {"majority class": {"top1": 100 * majority_top1(labelled.labels, test.labels)}}


def top_metrics(logits: NDArray[np.floating], images: LabelledImages) -> dict[str, Metric]:
    """Top-1, and top-5 where there are more than five classes.

    Args:
        logits: (N, C).
    """
    best = [k for k in (1, 5) if k < len(images.classes)]
    return {f"top{k}": Metric(value=100 * topk_accuracy(logits, images.labels.astype(np.int64), k)) for k in best}


def majority_top1(train_labels: NDArray[np.integer], test_labels: NDArray[np.integer]) -> float:
    """The floor: test accuracy of always answering the most frequent training label, as a fraction."""
    return float(np.mean(test_labels == np.bincount(train_labels).argmax()))
