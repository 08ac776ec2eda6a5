"""The source of all randomness in a run: seeds derived only from the recipe's seed and a place in the run.

The same place always has the same seed, whichever process uses it and wherever the run was interrupted.
"""

from __future__ import annotations

import hashlib


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A 63-bit seed for the views of one image in one epoch; similar inputs give unrelated seeds."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def order_seed(seed: int, epoch: int) -> int:
    """The seed of the order of images in one epoch."""
    return sample_seed(seed, epoch, -1)


def network_seed(seed: int, step: int, part: int) -> int:
    """The seed of the randomness inside the network, e.g. stochastic depth.

    Args:
        part: index of the accumulated part among those of all processes in this step.
    """
    return sample_seed(seed, step, -2 - part)
