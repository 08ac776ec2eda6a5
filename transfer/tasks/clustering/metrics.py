"""How well clusters agree with labels: all figures of a trial, and the matching that the pictures show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.cluster_scores import cluster_scores
from transfer.tasks.clustering.clusterer import NUM_RANKED, Assigned
from transfer.tasks.clustering.matching import Matching, contingency_table, is_among_first, match
from transfer.tasks.clustering.silhouette import silhouette


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All figures of a clustering.

    Attributes:
        percent: metric to figure; the silhouette too is times 100, so from -100 to 100.
        in_top5: (N,), of which ``top5`` is the share.
        facts: for the record's ``choices``; the silhouette's standard error in the same unit.
    """

    percent: dict[str, float]
    matching: Matching
    in_top5: NDArray[np.bool_]
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
    in_top5 = is_among_first(labels, assigned.ranked, matching, NUM_RANKED)
    fractions["top5"] = float(in_top5.mean())
    progress(1, 2, "silhouette")
    found = silhouette(assigned.features, clusters, max_images=silhouette_images, rng=rng)
    fractions["silhouette"] = found.mean
    progress(2, 2, "silhouette")
    return Scores(
        percent={name: 100 * fraction for name, fraction in fractions.items()},
        matching=matching,
        in_top5=in_top5,
        facts={
            "num_clusters": num_clusters,
            "used_clusters": int(np.count_nonzero(matching.sizes)),
            "matched_clusters": matching.num_matched,
            "silhouette_images": found.num_images,
            "silhouette_standard_error": round(100 * found.standard_error, 4),
        },
    )


def one_cluster(labels: NDArray[np.integer]) -> dict[str, float]:
    """What all images in one cluster would score, in percent: the floor."""
    return {name: 100 * value for name, value in cluster_scores(labels, np.zeros_like(labels)).items()}
