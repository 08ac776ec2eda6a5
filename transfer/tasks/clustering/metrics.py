"""How well clusters agree with labels: NMI, AMI, ARI and accuracy after Kuhn-Munkres matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from transfer.tasks.clustering.matching import contingency_table, match


def cluster_scores(labels: Sequence[int] | ArrayLike, predictions: Sequence[int] | ArrayLike) -> dict[str, float]:
    """Scores of a clustering against labels.

    Ids are names only: any integers, and as many clusters as there happen to be.

    Args:
        labels: (N,) integers.
        predictions: (N,) integers, the cluster of each image.

    Returns:
        Fractions: ``nmi`` (arithmetic mean in the denominator), ``ami`` and ``ari`` (both 0 in expectation for random
        clusters, so perhaps negative) as in scikit-learn, and ``acc``, see :func:`matched_accuracy`.

    Raises:
        ValueError: the two are not one-dimensional, of one length, of integers, and not empty.
    """
    from sklearn import metrics

    labels, predictions = _checked(labels, predictions)
    return {
        "nmi": float(metrics.normalized_mutual_info_score(labels, predictions)),
        "ami": float(metrics.adjusted_mutual_info_score(labels, predictions)),
        "ari": float(metrics.adjusted_rand_score(labels, predictions)),
        "acc": matched_accuracy(labels, predictions),
    }


def matched_accuracy(labels: Sequence[int] | ArrayLike, predictions: Sequence[int] | ArrayLike) -> float:
    """Accuracy under the best one-to-one matching of clusters with labels (Kuhn-Munkres), as a fraction.

    Where there are more clusters than labels, the clusters left over count as wrong; with fewer, so do the labels.

    Raises:
        ValueError: as in :func:`cluster_scores`.
    """
    labels, predictions = _checked(labels, predictions)
    label_names, label_ids = np.unique(labels, return_inverse=True)
    cluster_names, cluster_ids = np.unique(predictions, return_inverse=True)
    contingency = contingency_table(label_ids, cluster_ids, len(label_names), len(cluster_names))
    return match(contingency).num_right / len(labels)


def _checked(
    labels: Sequence[int] | ArrayLike, predictions: Sequence[int] | ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.asarray(labels), np.asarray(predictions)
    for name, array in zip(("labels", "predictions"), arrays, strict=True):
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"{name} are not one row of integers: {array.dtype}, shape {array.shape}")
    if len(arrays[0]) != len(arrays[1]) or len(arrays[0]) == 0:
        raise ValueError(f"{len(arrays[0])} labels and {len(arrays[1])} predictions: expected as many, and some")
    return arrays
