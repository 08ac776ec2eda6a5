"""Scores of a clustering against labels, by scikit-learn and SciPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def cluster_scores(labels: Sequence[int] | ArrayLike, predictions: Sequence[int] | ArrayLike) -> dict[str, float]:
    """Scores of a clustering against labels.

    Ids are only names: any integers, and as many clusters as there happen to be.

    Args:
        labels: (N,) integers.
        predictions: (N,) integers, the cluster of each image.

    Returns:
        Fractions: ``nmi`` (arithmetic mean in the denominator), ``ami`` and ``ari`` (both 0 in expectation for random
        clusters, so perhaps negative) as in scikit-learn; ``ami_max``; and ``acc``, see :func:`matched_accuracy`.
        ``ami`` normalises by the arithmetic mean of the entropies of labels and clusters, as the official code does
        (https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/evaluate_cluster.py);
        ``ami_max`` by the larger one, as the paper's formula does. They are nearly equal where there are as many
        clusters as labels.

    Raises:
        ValueError: the two are not one-dimensional, of one length, of integers, and not empty.
    """
    from sklearn import metrics

    labels, predictions = _checked(labels, predictions)
    return {
        "nmi": float(metrics.normalized_mutual_info_score(labels, predictions)),
        "ami": float(metrics.adjusted_mutual_info_score(labels, predictions)),
        "ami_max": float(metrics.adjusted_mutual_info_score(labels, predictions, average_method="max")),
        "ari": float(metrics.adjusted_rand_score(labels, predictions)),
        "acc": matched_accuracy(labels, predictions),
    }


def matched_accuracy(labels: Sequence[int] | ArrayLike, predictions: Sequence[int] | ArrayLike) -> float:
    """Accuracy under the best one-to-one matching of clusters with labels (Kuhn-Munkres), as a fraction.

    Where there are more clusters than labels, the clusters left over count as wrong; with fewer, so do the labels.

    Raises:
        ValueError: as in :func:`cluster_scores`.
    """
    from scipy.optimize import linear_sum_assignment

    labels, predictions = _checked(labels, predictions)
    label_ids, cluster_ids = (np.unique(ids, return_inverse=True)[1] for ids in (labels, predictions))
    contingency = np.zeros((label_ids.max() + 1, cluster_ids.max() + 1), dtype=np.int64)
    np.add.at(contingency, (label_ids, cluster_ids), 1)
    return int(contingency[linear_sum_assignment(contingency, maximize=True)].sum()) / len(labels)


def _checked(
    labels: Sequence[int] | ArrayLike, predictions: Sequence[int] | ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.asarray(labels), np.asarray(predictions)
    for name, array in zip(("labels", "predictions"), arrays, strict=True):
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"{name} are not one row of integers: {array.dtype}, shape {array.shape}")
    if len(arrays[0]) != len(arrays[1]) or len(arrays[0]) == 0:
        raise ValueError(
            f"{len(arrays[0])} labels and {len(arrays[1])} predictions: expected equally many, and at least one"
        )
    return arrays
