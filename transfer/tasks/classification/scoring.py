"""Scores of images and the figures made from them: top-k, mean per class, VOC2007's 11-point mean average precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfer.outcomes.file import packed
from transfer.outcomes.labels import Hits, Ranks
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.loader import View, batches
from transfer.tasks.classification.precision import computed_in, place
from transfer.tasks.classification.protocol import Precision

Labels = NDArray[np.integer]
Scores = NDArray[np.floating]


def topk_accuracy(scores: Scores, labels: Labels, k: int) -> float:
    """Share of rows that :func:`is_among_first` holds of."""
    return float(np.mean(is_among_first(scores, labels, k)))


def is_among_first(scores: Scores, labels: Labels, k: int) -> NDArray[np.bool_]:
    """Whether each row's label is among the k highest scores; of equal scores the first class comes first.

    Args:
        scores: (N, C).
        labels: (N,), 0 to C - 1.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    num_before = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    is_among: NDArray[np.bool_] = num_before < k
    return is_among


def mean_per_class(scores: Scores, labels: Labels) -> float:
    """Top-1 accuracy of each class that has images, averaged over the classes.

    Args:
        scores: (N, C).
        labels: (N,), 0 to C - 1.
    """
    is_right = scores.argmax(axis=1) == labels
    counts = np.bincount(labels)
    right = np.bincount(labels, weights=is_right)
    return float(np.mean(right[counts > 0] / counts[counts > 0]))


def average_precision_11pt(scores: Scores, labels: Labels) -> float:
    """VOC2007's interpolated average precision of one class.

    The mean, over the recalls 0, 0.1, ... 1, of the highest precision at that recall or a higher one (VOC2007
    development kit, section 3.4.1). Images of equal score are counted together, so that their order does not matter.

    Args:
        scores: (N,).
        labels: (N,): 1 present, 0 absent, -1 ("difficult") left out.

    Returns:
        NaN if no image has the class.
    """
    counts = labels >= 0
    order = np.argsort(-scores[counts], kind="stable")
    ranked, is_present = scores[counts][order], labels[counts][order] == 1
    if not is_present.any():
        return float("nan")
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # the last image of each score
    found = np.cumsum(is_present)[ends]
    precision = found / (ends + 1)
    # In whole numbers: 3 of 10 are a recall of 0.3, which 3 * 0.1 is not.
    reached = [10 * found >= tenths * is_present.sum() for tenths in range(11)]
    return float(np.mean([precision[there].max() for there in reached]))


def map_11pt(scores: Scores, labels: Labels) -> float:
    """Mean of :func:`average_precision_11pt` over the classes that have images.

    Args:
        scores: (N, C).
        labels: (N, C).
    """
    return float(np.nanmean([average_precision_11pt(scores[:, c], labels[:, c]) for c in range(scores.shape[1])]))


# name of a main metric to its function of (N, C) scores and labels
MAIN_METRICS: dict[str, Callable[[Scores, Labels], float]] = {
    "top1": lambda scores, labels: topk_accuracy(scores, labels, 1),
    "mean_per_class": mean_per_class,
    "map11": map_11pt,
}


def figures(scores: Scores, labels: Labels, main: str) -> dict[str, float]:
    """The main metric, and top-1 and top-5 where an image has one class, in percent.

    Args:
        scores: (N, C).
        labels: (N,); (N, C) where an image can have several classes.
        main: a key of :data:`MAIN_METRICS`.

    Raises:
        FloatingPointError: a score is not a number, which would compare as anything.
    """
    if not np.isfinite(scores).all():
        raise FloatingPointError("scores of the classifier are not finite")
    values = {main: MAIN_METRICS[main](scores, labels)}
    if labels.ndim == 1:
        values |= {f"top{k}": topk_accuracy(scores, labels, k) for k in (1, 5) if k < scores.shape[1]}
    return {name: 100 * value for name, value in values.items()}


def outcomes(scores: Scores, labels: Labels, main: str) -> bytes:
    """The outcome of each image, by which :func:`figures` can be computed anew: the content of a file.

    Args:
        scores, labels, main: as for :func:`figures`.
    """
    if labels.ndim == 2:
        return packed(Ranks.of_scores(scores, labels))
    ks = (1, 5) if scores.shape[1] > 5 else (1,)
    hits = {f"top{k}": is_among_first(scores, labels, k) for k in ks}
    return packed(Hits(labels, hits, per_class=main == "mean_per_class"))


def floor(labels: NDArray[np.integer], test: LabelledImages, metric: str) -> dict[str, dict[str, float]]:
    """What constant scores give, the frequency of each class among the labelled images: the floor of a metric."""
    several = labels.ndim == 2
    frequencies = (labels == 1).mean(axis=0) if several else np.bincount(labels, minlength=len(test.classes))
    scores = np.tile(frequencies.astype(np.float64), (len(test), 1))
    return {
        "class frequencies" if several else "majority class": {metric: figures(scores, test.labels, metric)[metric]}
    }


@torch.inference_mode()
def outputs(
    model: nn.Module,
    images: LabelledImages,
    view: View,
    *,
    batch_size: int,
    device: str,
    precision: Precision = "fp32",
    done: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float32]:
    """The model's output for every image, in eval mode: (N, ...).

    Args:
        precision: of the passes.
        done: called with the number of images done.
    """
    place(model.eval(), precision, device)
    found = []
    for _, views in batches(images, view, batch_size=batch_size, device=device, done=done):
        with computed_in(precision, device):
            found.append(model(views).float().cpu())
    return torch.cat(found).numpy()
