"""The backbone that a trial starts from; :mod:`transfer.weights.convert.convert` has it converted for a framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import UserError
from transfer.trial import RANDOM_PREFIX, Trial
from transfer.weights.backbone import Backbone, load_backbone, random_backbone

if TYPE_CHECKING:
    from pretrain.model import Backbone as BackboneModule


def trial_backbone(trial: Trial) -> Backbone:
    """The backbone that the trial names; a random one is drawn from ``trial.seed``.

    Raises:
        UserError: a bad checkpoint, or one that is no longer what the trial was planned with.
    """
    weights = trial.weights
    if weights.is_random:
        return random_backbone(weights.source.removeprefix(RANDOM_PREFIX), trial.seed)
    backbone = load_backbone(weights.source, weights.which, weights.arch)
    if backbone.sha256 != weights.sha256:
        raise UserError(f"{weights.source} has changed since the trials were planned: start the command again")
    return backbone


def torch_backbone(trial: Trial) -> tuple[BackboneModule, Backbone]:
    """The trial's backbone as :mod:`pretrain.model` builds it, loaded strictly; and where it came from.

    Raises:
        UserError: a bad or changed checkpoint.
    """
    import torch

    from pretrain.model import build_backbone

    backbone = trial_backbone(trial)
    with torch.random.fork_rng(devices=[]):  # the initialisation that is overwritten takes nothing from the trial
        module = build_backbone(backbone.arch)
    module.load_state_dict(backbone.state_dict, strict=True)
    return module, backbone
