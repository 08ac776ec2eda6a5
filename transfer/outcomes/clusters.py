"""Outcomes of clustering: the label and the cluster of every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.kind import MAX_CLASSES, Outcomes, Weights, checked, smallest


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
        return ("nmi", "ari")

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
        """From the table of how many images have a label and are in a cluster."""
        figure = {"nmi": _nmi, "ari": _ari}[metric]
        num_clusters = int(self.clusters.max()) + 1
        pairs, index = np.unique(self.labels.astype(np.int64) * num_clusters + self.clusters, return_inverse=True)
        labels, clusters = np.divmod(pairs, num_clusters)
        found = []
        for each in weights:
            shared = np.bincount(index, each, len(pairs)).astype(np.float64)
            sizes = [np.bincount(ids, shared).astype(np.float64) for ids in (labels, clusters)]
            found.append(100 * figure(shared, sizes[0], sizes[1]))
        return np.array(found)

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


def _nmi(shared: NDArray[np.float64], labels: NDArray[np.float64], clusters: NDArray[np.float64]) -> float:
    total = shared.sum()

    def entropy(counts: NDArray[np.float64]) -> float:
        share = counts[counts > 0] / total
        return float(-(share * np.log(share)).sum())

    apart = entropy(labels) + entropy(clusters)
    return 2 * (apart - entropy(shared)) / apart if apart > 0 else 1.0


def _ari(shared: NDArray[np.float64], labels: NDArray[np.float64], clusters: NDArray[np.float64]) -> float:
    """Hubert and Arabie 1985: pairs of images that are together, corrected for chance."""

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    expected = pairs(labels) * pairs(clusters) / pairs(shared.sum(keepdims=True))
    most = (pairs(labels) + pairs(clusters)) / 2
    return (pairs(shared) - expected) / (most - expected) if most != expected else 1.0
