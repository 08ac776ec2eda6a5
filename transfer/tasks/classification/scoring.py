"""The final scoring: the test images are opened, passed once, and nothing is chosen by what comes out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfer.record import Metric
from transfer.tasks.classification.labelled import LabelledImages, Splits
from transfer.tasks.classification.loader import batches, default_workers
from transfer.tasks.classification.metrics import figures
from transfer.tasks.classification.transforms import Transform
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
    model: nn.Module,
    splits: Splits,
    labelled: LabelledImages,
    *,
    metric: str,
    view: Transform,
    batch_size: int,
    trial: Trial,
) -> tuple[dict[str, Metric], dict[str, dict[str, float]]]:
    """Opens the test images and scores a classifier's logits; the floor stands beside them.

    Args:
        labelled: the images that the classifier was trained on.
        metric: the main one, a key of :data:`transfer.tasks.classification.metrics.MAIN_METRICS`.

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
    metrics = {name: Metric(value=value) for name, value in figures(logits, test.labels, metric).items()}
    return metrics, floor(labelled.labels, test, metric)


def floor(labels: NDArray[np.integer], test: LabelledImages, metric: str) -> dict[str, dict[str, float]]:
    """What scores give that are the same for every image: how frequent each class is among the labelled ones."""
    several = labels.ndim == 2
    frequencies = (labels == 1).mean(axis=0) if several else np.bincount(labels, minlength=len(test.classes))
    scores = np.tile(frequencies.astype(np.float64), (len(test), 1))
    return {
        "class frequencies" if several else "majority class": {metric: figures(scores, test.labels, metric)[metric]}
    }
