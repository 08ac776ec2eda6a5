"""Which images make up which training step: a pure function of seed and step, so that a killed training goes on."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER_STREAM = 1  # of the seed's random numbers; 0 draws the labelled images


@dataclass(frozen=True, kw_only=True)
class Order:
    """Epochs of shuffled images in batches.

    Attributes:
        whole_batches: leave out each epoch's last, smaller batch, which batch norm would take ill. Fewer images than
            a batch make one smaller batch all the same.
    """

    num_images: int
    batch_size: int
    seed: int
    whole_batches: bool

    @property
    def steps_per_epoch(self) -> int:
        whole, rest = divmod(self.num_images, self.batch_size)
        return max(whole if self.whole_batches or not rest else whole + 1, 1)

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def rows(self, step: int) -> NDArray[np.int64]:
        """The images of a step, over all processes."""
        batch = step % self.steps_per_epoch
        return self._shuffled(self.epoch(step))[batch * self.batch_size : (batch + 1) * self.batch_size]

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return _permutation(self.num_images, self.seed, epoch)


@functools.lru_cache(maxsize=2)
def _permutation(num_images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, ORDER_STREAM, epoch]).permutation(num_images)
