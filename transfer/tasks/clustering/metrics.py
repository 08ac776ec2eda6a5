"""How well clusters agree with labels: all figures of a trial, and the matching that the pictures show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer.tasks.clustering.clusterer import NUM_RANKED, Assigned
from transfer.tasks.clustering.matching import Matching, contingency_table, match, topk_accuracy
from transfer.tasks.clustering.silhouette import silhouette


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All figures of a clustering.

    Attributes:
        percent: metric to figure; the silhouette too is times 100, so from -100 to 100.
        facts: for the record's ``choices``; the silhouette's standard error in the same unit.
    """

    percent: dict[str, float]
    matching: Matching
    facts: dict[str, Any]


def score(
    labels: NDArray[np.integer],
    assigned: Assigned,
    *,
    num_labels: int,
    num_clusters: int,
    silhouette_images: int,
    rng: np.random.Generator,
    progress: Callable[[int, int, str], None],
) -> Scores:
    """NMI, AMI with both norms, ARI, accuracy and top-5 after matching, and the silhouette of the clusters.

    The matching is found on the images that it is scored on, as in every paper: with C = L that is a permutation of L
    names, learned from N labels.

    Args:
        labels: (N,), from 0 to ``num_labels`` - 1.
        silhouette_images, rng: see :func:`transfer.tasks.clustering.silhouette.silhouette`.
    """
    clusters = assigned.ranked[:, 0]
    progress(0, 2, "scoring")
    fractions = cluster_scores(labels, clusters)
    matching = match(contingency_table(labels, clusters, num_labels, num_clusters))
    fractions["top5"] = topk_accuracy(labels, assigned.ranked, matching, NUM_RANKED)
    progress(1, 2, "silhouette")
    found = silhouette(assigned.features, clusters, max_images=silhouette_images, rng=rng)
    fractions["silhouette"] = found.mean
    progress(2, 2, "silhouette")
    return Scores(
        percent={name: 100 * fraction for name, fraction in fractions.items()},
        matching=matching,
        facts={
            "num_clusters": num_clusters,
            "used_clusters": int(np.count_nonzero(matching.sizes)),
            "matched_clusters": matching.num_matched,
            "silhouette_images": found.num_images,
            "silhouette_standard_error": round(100 * found.standard_error, 4),
        },
    )


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
        raise ValueError(
            f"{len(arrays[0])} labels and {len(arrays[1])} predictions: expected equally many, and at least one"
        )
    return arrays


def one_cluster(labels: NDArray[np.integer]) -> dict[str, float]:
    """What all images in one cluster would score, in percent: the floor."""
    return {name: 100 * value for name, value in cluster_scores(labels, np.zeros_like(labels)).items()}
