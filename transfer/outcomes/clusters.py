"""Outcomes of clustering: the label and the cluster of every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.kind import MAX_CLASSES, Outcomes, Weights, checked, smallest

ROUNDING = 1e-12  # of entropies


@dataclass(frozen=True, eq=False)
class Clusters(Outcomes):
    """Images in clusters.

    Attributes:
        labels, clusters: (N,).
        top5: (N,) bool, whether the label is among the five most likely, with the matching of all images.
    """

    labels: NDArray[np.integer]
    clusters: NDArray[np.integer]
    top5: NDArray[np.bool_]

    @property
    def resamplable(self) -> tuple[str, ...]:
        return ("nmi",)

    @property
    def num_images(self) -> int:
        return len(self.labels)

    def truth(self) -> bytes:
        return self.labels.astype("<i8").tobytes()

    def metrics(self) -> dict[str, float]:
        from transfer.outcomes.cluster_scores import cluster_scores

        figures = {**cluster_scores(self.labels, self.clusters), "top5": float(self.top5.mean())}
        return {name: 100 * value for name, value in figures.items()}

    def resampled(self, metric: str, weights: Weights) -> NDArray[np.float64]:
        """By the jackknife: NMI, plus the mean over the drawn images of what each of them adds to it.

        NMI of the drawn images themselves spreads too little: an image that is drawn twice agrees with itself, which
        hides how few images a label and a cluster share. Intervals of 95 % by it cover 89 to 97 %, by the jackknife 93
        to 97 %. Efron and Stein (Ann. Stat. 9, 1981): the jackknife's variance is on average not too small.
        """
        num_clusters = int(self.clusters.max()) + 1
        pairs, index, shared = np.unique(
            self.labels.astype(np.int64) * num_clusters + self.clusters, return_inverse=True, return_counts=True
        )
        of_pairs = np.divmod(pairs, num_clusters)
        sizes = [np.bincount(ids, shared)[ids] for ids in of_pairs]  # of each pair's label and cluster
        sums = [float(_ordered(np.bincount(ids, shared)).sum()) for ids in of_pairs]
        joint = float(_ordered(shared).sum())
        whole = _nmi(self.num_images, joint, sum(sums))
        apart = sum(total - _step(size) for total, size in zip(sums, sizes, strict=True))
        without = _nmi(self.num_images - 1, joint - _step(shared), apart)
        adds = (self.num_images - 1) * (shared @ without / self.num_images - without)
        found: NDArray[np.float64] = 100 * (whole + weights @ adds[index] / self.num_images)
        return found

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays = {"labels": smallest(self.labels), "clusters": smallest(self.clusters), "top5": np.packbits(self.top5)}
        return arrays, {}

    @classmethod
    def of_parts(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Clusters:
        labels = checked(arrays["labels"], 1, MAX_CLASSES, "labels")
        clusters = checked(arrays["clusters"], 1, MAX_CLASSES, "clusters")
        top5 = checked(arrays["top5"], 1, 256, "top5").astype(np.uint8)
        if not 0 < len(labels) == len(clusters) <= 8 * len(top5) < len(labels) + 8:
            raise ValueError("its clusters are not those of its images")
        return cls(labels, clusters, np.unpackbits(top5, count=len(labels)).astype(bool))


def _ordered(counts: NDArray[Any]) -> NDArray[np.float64]:
    """``c log c``: the entropy of counts with the sum n is log n less the sum of these over n."""
    found: NDArray[np.float64] = counts * np.log(np.maximum(counts, 1))
    return found


def _step(counts: NDArray[Any]) -> NDArray[np.float64]:
    """By how much :func:`_ordered` falls without one of those that are counted."""
    return _ordered(counts) - _ordered(counts - 1)


def _nmi(total: int, shared: Any, apart: Any) -> NDArray[np.float64]:
    """Args: sums of :func:`_ordered`, of the pairs, and of the labels and of the clusters together."""
    entropies = 2 * np.log(max(total, 1)) - apart / max(total, 1)
    mutual = entropies - (np.log(max(total, 1)) - shared / max(total, 1))
    is_one_group = entropies < ROUNDING
    return np.where(is_one_group, 1.0, 2 * mutual / np.where(is_one_group, 1.0, entropies))
