"""k-means on frozen features: clusters for checkpoints without a class head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.cluster import KMeans, MiniBatchKMeans

ROWS_AT_A_TIME = 4096  # of distances to the centres: 33 MB of float64 with 1,000 clusters
MINIBATCH = 8192  # images per step of MiniBatchKMeans; several for each of 1,000 clusters


@dataclass(frozen=True)
class Centres:
    """A fitted k-means. ``centres`` is (K, D); ``algorithm`` and ``num_iterations`` are facts for the record."""

    centres: NDArray[np.float32]
    algorithm: str
    num_iterations: int


def normalise_(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales every row to length one, in place, since 50,000 × 2,048 are 400 MB; rows of zeros stay."""
    from sklearn.preprocessing import normalize

    normalised: NDArray[np.float32] = normalize(features, copy=False)
    return normalised


def fit_kmeans(
    features: NDArray[np.float32], num_clusters: int, *, restarts: int, seed: int, minibatch_above: int
) -> Centres:
    """Euclidean k-means from k-means++ starts; of ``restarts`` runs, the one with the least inertia.

    Args:
        features: (N, D), N at least ``num_clusters``.
        minibatch_above: with more rows than this MiniBatchKMeans, else Lloyd's algorithm.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    settings = {"n_clusters": num_clusters, "n_init": restarts, "random_state": seed}
    minibatch = len(features) > minibatch_above
    model: KMeans | MiniBatchKMeans
    model = MiniBatchKMeans(batch_size=MINIBATCH, **settings) if minibatch else KMeans(**settings)
    model.fit(features)
    return Centres(
        centres=model.cluster_centers_,
        algorithm="MiniBatchKMeans" if minibatch else "Lloyd",
        num_iterations=int(model.n_iter_),
    )


def nearest(
    features: NDArray[np.float32], centres: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest centres of each row, the nearest first, and how close they are compared to the nearest.

    Returns:
        (N, k) clusters, and (N, k) closeness: distance to the nearest centre over distance to this one, falling from 1.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    ranked = np.empty((len(features), k), dtype=np.int64)
    closeness = np.empty((len(features), k), dtype=np.float32)
    for start in range(0, len(features), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        distances = euclidean_distances(features[rows], centres)
        ranked[rows] = np.argsort(distances, axis=1, kind="stable")[:, :k]
        chosen = np.take_along_axis(distances, ranked[rows], axis=1)
        closeness[rows] = np.divide(chosen[:, :1], chosen, out=np.ones_like(chosen), where=chosen > 0)
    return ranked, closeness
