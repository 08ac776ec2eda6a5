"""Outcomes of classification: which images are right, or how they are ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.kind import MAX_CLASSES, Outcomes, Weights, checked, mean_of_existing, smallest


@dataclass(frozen=True, eq=False)
class Hits(Outcomes):
    """Images of one class each.

    Attributes:
        labels: (N,).
        hits: ``"top1"`` and the like to (N,) bool, whether the image counts as right.
        per_class: whether ``mean_per_class`` is a metric: top-1 of each class that has images, averaged over them.
    """

    labels: NDArray[np.integer]
    hits: Mapping[str, NDArray[np.bool_]]
    per_class: bool = False

    @property
    def num_images(self) -> int:
        return len(self.labels)

    @property
    def resamplable(self) -> tuple[str, ...]:
        return (*(["mean_per_class"] if self.per_class else []), *self.hits)

    def truth(self) -> bytes:
        return self.labels.astype("<i8").tobytes()

    def resampled(self, metric: str, weights: Weights) -> NDArray[np.float64]:
        if metric != "mean_per_class":
            return 100 * (weights @ self.hits[metric] / weights.sum(axis=1))
        return 100 * _per_class(self.labels, weights, self.hits["top1"])

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        bits = np.packbits(np.array([self.hits[name] for name in self.hits]), axis=1)
        return {"labels": smallest(self.labels), "hits": bits}, {"names": list(self.hits), "per_class": self.per_class}

    @classmethod
    def of_parts(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Hits:
        names, per_class = facts["names"], facts["per_class"]
        labels = checked(arrays["labels"], 1, MAX_CLASSES, "labels")
        bits = checked(arrays["hits"], 2, 256, "hits").astype(np.uint8)
        is_text = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not is_text or type(per_class) is not bool or bits.shape != (len(names), -(-len(labels) // 8)):
            raise ValueError("its hits are not those of its images")
        if not len(labels) or (per_class and "top1" not in names):
            raise ValueError("it has no images or no top1")
        hits = np.unpackbits(bits, axis=1, count=len(labels)).astype(bool)
        return cls(labels, dict(zip(names, hits, strict=True)), per_class)


def _per_class(labels: NDArray[np.integer], weights: Weights, hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    images = np.add.reduceat(weights[:, order], starts, axis=1)
    right = np.add.reduceat(weights[:, order] * hits[order], starts, axis=1)
    return mean_of_existing(right, images)


@dataclass(frozen=True, eq=False)
class Ranks(Outcomes):
    """Images of several classes each, in the order of their scores: VOC2007's 11-point mean average precision.

    Attributes:
        labels: (N, C): 1 present, 0 absent, -1 not counted.
        ranks: (N, C) from 0 for the highest score of a class; equal scores have equal ranks.
    """

    labels: NDArray[np.integer]
    ranks: NDArray[np.integer]

    @classmethod
    def of_scores(cls, scores: NDArray[np.floating], labels: NDArray[np.integer]) -> Ranks:
        """Args: scores, labels: (N, C)."""
        ranks = [np.unique(-column, return_inverse=True)[1].reshape(-1) for column in scores.T]
        return cls(labels, np.stack(ranks, axis=1))

    @property
    def resamplable(self) -> tuple[str, ...]:
        return ("map11",)

    @property
    def num_images(self) -> int:
        return len(self.labels)

    def truth(self) -> bytes:
        return self.labels.astype("i1").tobytes()

    def resampled(self, metric: str, weights: Weights) -> NDArray[np.float64]:
        """Follows :func:`transfer.tasks.classification.scoring.average_precision_11pt`, whose tests hold this too."""
        # Images come first here, so that all draws of one image lie side by side.
        weights = np.ascontiguousarray(weights.T)
        total, classes = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for labels, ranks in zip(self.labels.T, self.ranks.T, strict=True):
            counted = np.flatnonzero(labels >= 0)
            order = counted[np.argsort(ranks[counted], kind="stable")]
            hits = np.flatnonzero(labels[order] == 1)
            if not len(hits):
                continue
            # Precision is highest where an image has the class; images of its score are counted with it.
            ends = np.searchsorted(ranks[order], ranks[order][hits], side="right") - 1
            last = np.searchsorted(ranks[order][hits], ranks[order][hits], side="right") - 1
            found = np.cumsum(weights[order[hits]], axis=0)[last]
            images = np.cumsum(weights[order], axis=0)[ends]
            precision = found / np.maximum(images, 1)
            highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]  # at this recall or a higher one
            present = found[-1]
            draws = np.arange(len(present))
            points = [highest[(10 * found >= tenths * present).argmax(axis=0), draws] for tenths in range(11)]
            exists = present > 0
            total += exists * np.mean(points, axis=0)
            classes += exists
        return 100 * total / classes

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {"labels": (self.labels + 1).astype(np.uint8), "ranks": smallest(self.ranks)}, {}

    @classmethod
    def of_parts(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Ranks:
        labels = checked(arrays["labels"], 2, 3, "labels") - 1
        ranks = checked(arrays["ranks"], 2, max(len(labels), 1), "ranks")
        if labels.shape != ranks.shape or not (labels == 1).any():
            raise ValueError("its ranks are not those of its images")
        return cls(labels, ranks)
