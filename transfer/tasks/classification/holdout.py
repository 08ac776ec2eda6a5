"""Validation images held out from the training images, where a data set has none of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

HOLD_OUT_STREAM = 1  # of the seed's random numbers; every initialisation with one seed gets the same images


def held_out(labels: NDArray[np.integer], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which of the images are for validation: this fraction of every class, rounded, at least one, never all.

    Args:
        labels: (N,).
        seed: draws them.

    Returns:
        (N,).

    Raises:
        UserError: the fraction is not between 0 and 1, or a class has one image.
    """
    if not 0 < fraction < 1:
        raise UserError(f"val_fraction={fraction}: a fraction between 0 and 1 is wanted")
    rng = np.random.default_rng([seed, HOLD_OUT_STREAM])
    is_val = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        if len(of_class) < 2:
            raise UserError(
                f"class {label} has one labelled image, so that none can be held out for validation: "
                f"raise labels_per_class, or complete the data set"
            )
        is_val[of_class[: min(max(round(fraction * len(of_class)), 1), len(of_class) - 1)]] = True
    return is_val
