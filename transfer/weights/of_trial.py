"""The backbone that a trial starts from, and its architecture as far as it can be known before the trial.

Converted for a framework: :func:`transfer.weights.convert.convert.converted_weights`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from transfer.trial import RANDOM_PREFIX, Trial, WeightsRef
from transfer.weights.backbone import Backbone, load_backbone, random_backbone
from transfer.weights.backbone.architecture import canonical
from twist_common.errors import UserError

if TYPE_CHECKING:
    from pretrain.model import Backbone as BackboneModule


@functools.cache
def arch_of(weights: WeightsRef) -> str | None:
    """As it is named, else as the checkpoint shows it, which imports torch; None where the file is not there or bad."""
    if named := weights.source.removeprefix(RANDOM_PREFIX) if weights.is_random else weights.arch:
        try:
            return canonical(named)
        except UserError:
            return named  # the check of the weights, or the trial, will say why
    if not weights.sha256:
        return None
    try:
        return load_backbone(weights.source, weights.which, weights.arch, weights.reading).arch
    except UserError:
        return None  # the check of the weights, or the trial, will say why


def trial_backbone(trial: Trial) -> Backbone:
    """The backbone that the trial names; a random one is drawn from ``trial.seed``.

    Raises:
        UserError: a bad checkpoint, or one that is no longer what the trial was planned with.
    """
    weights = trial.weights
    if weights.is_random:
        return random_backbone(weights.source.removeprefix(RANDOM_PREFIX), trial.seed)
    backbone = load_backbone(weights.source, weights.which, weights.arch, weights.reading)
    if backbone.sha256 != weights.sha256:
        raise UserError(f"{weights.source} has changed since the trials were planned: start the command again")
    return backbone


def torch_backbone(trial: Trial) -> tuple[BackboneModule, Backbone]:
    """The trial's backbone as a network with all its weights, and as it was read.

    Raises:
        UserError: a bad or changed checkpoint.
    """
    from transfer.weights.backbone.network import loaded_network

    backbone = trial_backbone(trial)
    return loaded_network(backbone), backbone
