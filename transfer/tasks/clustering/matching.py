"""Which cluster stands for which class: the best one-to-one matching (Kuhn-Munkres), and what is scored through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNMATCHED = -1


@dataclass(frozen=True)
class Matching:
    """L labels and C clusters, matched one to one so that as many images as possible are right.

    Attributes:
        contingency: (L, C) numbers of images.
        label_of: (C,) the label that each cluster stands for, or :data:`UNMATCHED`: with more clusters than labels some
            are left over, with fewer some labels are; a pair without a common image is not a match.
    """

    contingency: NDArray[np.int64]
    label_of: NDArray[np.int64]

    @property
    def num_right(self) -> int:
        """Images whose cluster stands for their label."""
        matched = np.flatnonzero(self.label_of != UNMATCHED)
        return int(self.contingency[self.label_of[matched], matched].sum())

    @property
    def num_matched(self) -> int:
        return int(np.count_nonzero(self.label_of != UNMATCHED))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(C,) images in each cluster."""
        return self.contingency.sum(axis=0)

    def main_label(self, cluster: int) -> int:
        """The most frequent label in a cluster, of equals the lowest; :data:`UNMATCHED` in an empty one."""
        counts = self.contingency[:, cluster]
        return int(counts.argmax()) if counts.any() else UNMATCHED


def contingency_table(
    labels: NDArray[np.integer], clusters: NDArray[np.integer], num_labels: int, num_clusters: int
) -> NDArray[np.int64]:
    """(L, C) how many images have label l and are in cluster c, in one pass over the images.

    Args:
        labels, clusters: (N,), from 0 to ``num_labels`` - 1 and ``num_clusters`` - 1.
    """
    pairs = labels.astype(np.int64) * num_clusters + clusters
    return np.bincount(pairs, minlength=num_labels * num_clusters).reshape(num_labels, num_clusters)


def match(contingency: NDArray[np.int64]) -> Matching:
    """The best matching, by SciPy's linear sum assignment; of several equally good ones always the same.

    Args:
        contingency: (L, C).
    """
    from scipy.optimize import linear_sum_assignment

    labels, clusters = linear_sum_assignment(contingency, maximize=True)
    shared = contingency[labels, clusters] > 0
    label_of = np.full(contingency.shape[1], UNMATCHED, dtype=np.int64)
    label_of[clusters[shared]] = labels[shared]
    return Matching(contingency, label_of)


def is_among_first(
    labels: NDArray[np.integer], ranked: NDArray[np.integer], matching: Matching, k: int
) -> NDArray[np.bool_]:
    """(N,) for each image, whether its label is among the classes that their k most likely clusters stand for.

    The k most likely are taken among all clusters: one that the matching leaves over stands for no class and still
    counts among the k. A label without a cluster is never found. The share of images with k = 1 is the accuracy after
    matching, and with many more clusters than labels the figure is low however pure the clusters are.

    Args:
        labels: (N,).
        ranked: (N, K) clusters, the most likely first; with K < k all K count.
        matching: of these labels with the first column of ``ranked``.
    """
    found: NDArray[np.bool_] = (matching.label_of[ranked[:, :k]] == labels[:, None]).any(axis=1)
    return found
