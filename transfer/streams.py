"""Every random stream that a trial draws from, with a number of its own: no two of them share their bits.

A stream is addressed by the trial's seed, its number, and further numbers where it has many parts. Number and parts are
the spawn key of NumPy's ``SeedSequence``, which keeps keys of any length apart. As entropy they would not be: trailing
zeros are padding there, so that ``default_rng([7, 1])`` and ``default_rng([7, 1, 0])`` are the same stream.
"""

from __future__ import annotations

import enum

import numpy as np


@enum.unique
class Stream(enum.IntEnum):
    """A number is never given to another stream; a new one changes no result."""

    LABELS = 0  # which training images are labelled
    HELD_OUT = 1  # which labelled images are held out for validation
    ORDER = 2  # of the training images; part: epoch
    VIEWS = 3  # of a training image; parts: epoch, image
    LINEAR_HEADS = 4  # initial weights; part: which of the features
    NETWORK = 5  # what is random within a network in training
    CLASS_HEAD = 6  # of a random initialisation
    STATISTICS_IMAGES = 7  # for the batch norms of a random initialisation
    KMEANS_IMAGES = 8
    KMEANS_STARTS = 9
    SILHOUETTE_IMAGES = 10
    PICTURE_IMAGES = 11
    ABLATION_IMAGES = 12  # to which large training sets are thinned out


def rng(seed: int, stream: Stream, *parts: int) -> np.random.Generator:
    """NumPy's generator for a stream, or for one of its parts."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *parts)))


def torch_seed(seed: int, stream: Stream, *parts: int) -> int:
    """64 bits with which torch's generators are seeded."""
    sequence = np.random.SeedSequence(seed, spawn_key=(stream, *parts))
    return int(sequence.generate_state(1, np.uint64)[0])
