"""Where the randomness of a run comes from: seeds that follow from the recipe's seed and a place in the run alone.

Whatever process draws, and wherever a run was interrupted, the same place has the same seed.
"""

from __future__ import annotations

import hashlib


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A 63-bit seed for the views of one image in one epoch; nearby inputs give unrelated seeds."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def order_seed(seed: int, epoch: int) -> int:
    """The seed of the order of images in one epoch."""
    return sample_seed(seed, epoch, -1)


def network_seed(seed: int, step: int, part: int) -> int:
    """The seed of what is random in the network, e.g. stochastic depth.

    Args:
        part: the number of the accumulated part among those of all processes in this step.
    """
    return sample_seed(seed, step, -2 - part)
