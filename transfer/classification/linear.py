"""Multinomial logistic regression on frozen features, its l2 chosen on images held out of the training set."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from common.errors import UserError
from transfer.classification.protocol import LinearProtocol


@dataclass(frozen=True)
class LinearFit:
    """The classifier refitted on all labelled images, the l2 chosen, and the held-out loss that it was chosen by."""

    classifier: Pipeline
    l2: float
    val_loss: float


def fit_linear(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    protocol: LinearProtocol,
    *,
    seed: int,
    done: Callable[[int], None] = lambda candidates: None,
) -> LinearFit:
    """Chooses l2 on a part held out evenly from every class, then fits all of the images with it.

    The choice is by cross-entropy: on a few dozen images the accuracies of most candidates are the same. The test
    images have no part in this.

    Args:
        features: (N, D), of the labelled training images only.
        labels: (N,).
        seed: draws the held-out part.
        done: called with the number of candidates tried.

    Raises:
        UserError: too few images a class to hold some out.
    """
    train, train_labels, val, val_labels = _hold_out(features, labels, protocol.val_fraction, seed)
    losses: dict[float, float] = {}
    for l2 in protocol.l2_grid:
        classifier = _fit(train, train_labels, l2, protocol.max_iter)
        losses[l2] = float(log_loss(val_labels, classifier.predict_proba(val), labels=classifier.classes_))
        done(len(losses))
    l2 = min(losses, key=lambda candidate: losses[candidate])
    return LinearFit(_fit(features, labels, l2, protocol.max_iter), l2, losses[l2])


def _hold_out(
    features: NDArray[np.float32], labels: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    rows = np.arange(len(labels))
    try:
        train, val = train_test_split(rows, test_size=fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        raise UserError(
            f"val_fraction={fraction} of {len(labels)} labelled images leaves a class without any ({error}): "
            f"raise labels_per_class or change val_fraction"
        ) from None
    return features[train], labels[train], features[val], labels[val]


def _fit(features: NDArray[np.float32], labels: NDArray[np.int64], l2: float, max_iter: int) -> Pipeline:
    # scikit-learn minimises |w|^2 / 2 + C * sum of cross-entropies; l2 stands beside their mean.
    regression = LogisticRegression(C=1 / (l2 * len(labels)), max_iter=max_iter)
    # Float64, and every feature of one scale: features of a random network span several orders of magnitude.
    classifier = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings():
        # Weak l2 on separable data has its optimum at infinity: max_iter is then part of the protocol.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(features.astype(np.float64), labels)


def topk_accuracy(scores: NDArray[np.floating], labels: NDArray[np.int64], k: int) -> float:
    """Share of rows whose label is among the k highest scores.

    Args:
        scores: (N, C).
        labels: (N,), 0 to C - 1.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.mean((best == labels[:, None]).any(axis=1)))
