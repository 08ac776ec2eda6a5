"""Outcomes of segmentation: how the pixels of each image are confused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.kind import MAX_CELLS, MAX_CLASSES, Outcomes, Weights, checked, count, mean_of_existing, smallest


@dataclass(frozen=True, eq=False)
class Confusion(Outcomes):
    """Pixels of the classes that an image's mask or its prediction has.

    Attributes:
        images, classes: (P,) one pair for each class that an image has, by image.
        right, predicted, labelled: (P,) pixels.
        size: number of images, number of classes.
    """

    images: NDArray[np.integer]
    classes: NDArray[np.integer]
    right: NDArray[np.integer]
    predicted: NDArray[np.integer]
    labelled: NDArray[np.integer]
    size: tuple[int, int]

    @classmethod
    def of_areas(
        cls, right: NDArray[np.integer], predicted: NDArray[np.integer], labelled: NDArray[np.integer]
    ) -> Confusion:
        """Args: right, predicted, labelled: (N, C) pixels."""
        size = (right.shape[0], right.shape[1])
        images, classes = np.nonzero(predicted + labelled)
        right, predicted, labelled = (each[images, classes] for each in (right, predicted, labelled))
        return cls(images, classes, right, predicted, labelled, size)

    @property
    def resamplable(self) -> tuple[str, ...]:
        return ("miou", "macc", "aacc")

    @property
    def num_images(self) -> int:
        return self.size[0]

    def truth(self) -> bytes:
        has = self.labelled > 0
        return np.stack([self.images[has], self.classes[has], self.labelled[has]]).astype("<i8").tobytes()

    def metrics(self) -> dict[str, float]:
        """With MMSegmentation's single precision, sums image by image, and two digits."""
        right, union, labelled = (
            np.cumsum(self._dense(each, np.float32), axis=0, dtype=np.float32)[-1]
            for each in (self.right, self.predicted + self.labelled - self.right, self.labelled)
        )
        exists = labelled > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = {
                "miou": right[exists] / union[exists],
                "macc": right[exists] / labelled[exists],
                "aacc": np.array([right.sum() / labelled.sum()]),
            }
        return {name: round(float(np.round(np.mean(each) * 100, 2)), 2) for name, each in shares.items()}

    def _dense(self, values: NDArray[np.integer], dtype: Any) -> NDArray[Any]:
        areas = np.zeros(self.size, dtype=dtype)
        areas[self.images, self.classes] = values
        return areas

    def resampled(self, metric: str, weights: Weights) -> NDArray[np.float64]:
        right, predicted, labelled = (
            weights @ self._dense(each, np.float64) for each in (self.right, self.predicted, self.labelled)
        )
        if metric == "aacc":
            return 100 * right.sum(axis=1) / labelled.sum(axis=1)
        whole = labelled if metric == "macc" else np.where(labelled > 0, predicted + labelled - right, 0)
        return 100 * mean_of_existing(right, whole)

    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        starts = np.searchsorted(self.images, np.arange(self.size[0] + 1))
        arrays = {"pairs": smallest(np.diff(starts)), "classes": smallest(self.classes)}
        # Few pixels are wrong: these differences are small numbers.
        missed, extra = self.labelled - self.right, self.predicted - self.right
        arrays |= {"right": smallest(self.right), "missed": smallest(missed), "extra": smallest(extra)}
        return arrays, {"num_classes": self.size[1]}

    @classmethod
    def of_parts(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Confusion:
        num_classes = count(facts, "num_classes", MAX_CLASSES)
        pairs = checked(arrays["pairs"], 1, num_classes + 1, "pairs")
        classes = checked(arrays["classes"], 1, num_classes, "classes")
        right, missed, extra = (checked(arrays[name], 1, 2**32, name) for name in ("right", "missed", "extra"))
        if not len(pairs) or {len(each) for each in (classes, right, missed, extra)} != {int(pairs.sum())}:
            raise ValueError("its pixels are not those of its images")
        if len(pairs) * num_classes > MAX_CELLS:
            raise ValueError(f"more than {MAX_CELLS} images times classes")
        images = np.repeat(np.arange(len(pairs)), pairs)
        if not (right + missed).any():
            raise ValueError("no pixel is labelled")
        return cls(images, classes, right, right + extra, right + missed, (len(pairs), num_classes))
