"""What outcomes of every kind can do, and the checks with which they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
MAX_CELLS = 50_000_000  # images times classes: COCO-Stuff would take 1 million
MAX_CLASSES = 100_000


class Outcomes(ABC):
    """What a trial found for each of its test images, whose order is the data set's."""

    @property
    @abstractmethod
    def num_images(self) -> int:
        """N."""

    @property
    @abstractmethod
    def resamplable(self) -> tuple[str, ...]:
        """The metrics that :meth:`resampled` knows."""

    @abstractmethod
    def truth(self) -> bytes:
        """What the data set says of the images: two trials had the same ones if this is equal."""

    @abstractmethod
    def resampled(self, metric: str, weights: Weights) -> NDArray[np.float64]:
        """A metric where each image counts as often as its weight says.

        Args:
            metric: one of ``resamplable``.
            weights: (B, N) whole numbers.

        Returns:
            (B,) in percent.
        """

    def metrics(self) -> dict[str, float]:
        """All metrics that follow from the outcomes, in percent: each image counts once."""
        once = np.ones((1, self.num_images))
        return {name: float(self.resampled(name, once)[0]) for name in self.resamplable}

    @abstractmethod
    def parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays of whole numbers, and what is no array: all that :meth:`of_parts` needs."""

    @classmethod
    @abstractmethod
    def of_parts(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Outcomes:
        """The inverse of :meth:`parts`. Raises ValueError, KeyError or TypeError for what no trial wrote."""


def smallest(values: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """Non-negative whole numbers in the smallest type that holds them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def checked(values: NDArray[Any], ndim: int, below: int, what: str) -> NDArray[np.int64]:
    """Raises ValueError unless these are ``ndim`` dimensions of whole numbers from 0 to ``below`` - 1."""
    if values.ndim != ndim or values.dtype.kind != "u" or (values.size and int(values.max()) >= below):
        raise ValueError(f"{what} are not numbers below {below} in {ndim} dimensions")
    return values.astype(np.int64)


def count(facts: Mapping[str, Any], name: str, most: int) -> int:
    """Raises ValueError unless the fact is a whole number from 1 to ``most``."""
    if type(facts[name]) is not int or not 1 <= facts[name] <= most:
        raise ValueError(f"{name} is not a number from 1 to {most}")
    return int(facts[name])


def mean_of_existing(values: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,): ``values / counts`` averaged over the columns that have a count; NaN where none has."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(counts > 0, values / counts, 0)
        return ratios.sum(axis=1) / (counts > 0).sum(axis=1)
