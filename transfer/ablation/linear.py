"""Multinomial logistic regression on frozen features, its l2 chosen on training images that are held out."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from common.errors import UserError

L2_GRID = (1e-4, 1e-3, 1e-2, 1e-1)  # on features scaled to deviation 1, beside the mean cross-entropy
HELD_OUT = 0.2  # share of the training images that l2 is chosen on
MAX_ITERATIONS = 200


def choose_l2(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The l2 with the lowest cross-entropy on held-out images.

    Args:
        features: (N, D), of training images only.
        labels: (N,).

    Raises:
        UserError: too few images a class to hold some out.
    """
    rows = np.arange(len(labels))
    try:
        fitted, held_out = train_test_split(rows, test_size=HELD_OUT, random_state=0, stratify=labels)
    except ValueError as error:
        raise UserError(f"too few training images a class to choose the classifier's l2 ({error}): add some") from None
    losses = {}
    for l2 in L2_GRID:
        classifier = fit(features[fitted], labels[fitted], l2)
        shares = classifier.predict_proba(features[held_out])
        losses[l2] = float(log_loss(labels[held_out], shares, labels=classifier.classes_))
    return min(losses, key=lambda l2: losses[l2])


def fit(features: NDArray[np.float64], labels: NDArray[np.int64], l2: float) -> Pipeline:
    """The classifier of features (N, D) that are scaled to deviation 1."""
    # scikit-learn minimises |w|^2 / 2 + C * sum of cross-entropies; l2 stands beside their mean.
    regression = LogisticRegression(C=1 / (l2 * len(labels)), max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        # Weak l2 on separable data has its optimum far out: the number of iterations is part of the evaluation.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), regression).fit(features, labels)
