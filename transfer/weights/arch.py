"""The architecture of a trial's weights, as far as it can be known before the trial."""

from __future__ import annotations

import functools

from common.errors import UserError
from transfer.trial import RANDOM_PREFIX, WeightsRef


@functools.cache
def arch_of(weights: WeightsRef) -> str | None:
    """As it is named, else as the checkpoint shows it, which imports torch; None where the file is not there or bad."""
    if weights.is_random:
        return weights.source.removeprefix(RANDOM_PREFIX)
    if weights.arch or not weights.sha256:
        return weights.arch
    from transfer.weights.backbone import load_backbone

    try:
        return load_backbone(weights.source, weights.which, weights.arch).arch
    except UserError:
        return None  # the check of the weights, or the trial, will say why
