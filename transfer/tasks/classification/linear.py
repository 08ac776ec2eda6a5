"""The choice of l2 on validation images, and the last fits on all labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer.tasks.classification.logistic import Solution, fit_path
from transfer.tasks.classification.logistic_loss import mean_loss
from transfer.tasks.classification.metrics import MAIN_METRICS
from transfer.tasks.classification.protocol import LinearProtocol

Done = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What may be looked at before the final scoring.

    Attributes:
        features: (N, D) of training and validation images.
        labels: (N,), or (N, C) as :class:`transfer.tasks.classification.labelled.LabelledImages` has them.
        is_val: (N,), which of them are for validation.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.integer]
    is_val: NDArray[np.bool_]
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The l2 that was best on the validation images; ``score`` is the main metric there, as a fraction."""

    l2: float
    score: float
    loss: float


def choose_l2(
    labelled: Labelled, protocol: LinearProtocol, metric: str, *, device: str, done: Done = lambda fits: None
) -> Choice:
    """Fits the training images with every l2 and takes what is best on the validation images.

    Best is the highest metric (``choose_by="metric"``), ties going to the lower loss; or the lowest loss. What ties in
    both goes to the stronger l2.

    Args:
        metric: a key of :data:`transfer.tasks.classification.metrics.MAIN_METRICS`.
        done: called with the number of fits done.
    """
    features, labels = labelled.features[labelled.is_val], labelled.labels[labelled.is_val]
    choices = []
    for solution in _path(labelled, ~labelled.is_val, protocol, device):
        scores = solution.scores(features)
        value = MAIN_METRICS[metric](scores, labels)
        choices.append(Choice(l2=solution.l2, score=value, loss=mean_loss(scores, labels)))
        done(len(choices))
    if protocol.choose_by == "loss":
        return min(choices, key=lambda choice: choice.loss)
    return min(choices, key=lambda choice: (-choice.score, choice.loss))


def refit(
    labelled: Labelled, protocol: LinearProtocol, *, device: str, done: Done = lambda fits: None
) -> dict[float, Solution]:
    """Fits all labelled images, validation images included, with every l2."""
    solutions: dict[float, Solution] = {}
    for solution in _path(labelled, np.ones_like(labelled.is_val), protocol, device):
        solutions[solution.l2] = solution
        done(len(solutions))
    return solutions


def _path(labelled: Labelled, rows: NDArray[np.bool_], protocol: LinearProtocol, device: str) -> Iterator[Solution]:
    return fit_path(
        labelled.features[rows],
        labelled.labels[rows],
        labelled.num_classes,
        protocol.l2_grid,
        tolerance=protocol.tolerance,
        max_iter=protocol.max_iter,
        device=device,
    )
