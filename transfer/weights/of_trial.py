"""What a task starts from: converted weights, or the backbone as a torch module."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError, unknown_name
from common.files import sha256_file, sha256_text
from transfer.trial import RANDOM_PREFIX, Trial
from transfer.weights.backbone.types import Preprocessing
from transfer.weights.convert.convert import (
    RESNET_TARGETS,
    Converted,
    convert,
    converted_from,
    get_target,
    paths,
    read_proofs,
)
from transfer.weights.convert.proof import verify_proof

if TYPE_CHECKING:
    from pretrain.model import Backbone as BackboneModule
    from transfer.weights.backbone import Backbone


def converted_weights(trial: Trial, target: str) -> Converted:
    """The trial's weights for a target framework, converted once into ``trial.weights_dir``.

    What is there is used only if its bytes are those that its proof is about, and its proof is of this checkpoint, for
    this architecture and for the settings that its preprocessing asks for; else it is converted again: the checkpoint
    is the truth, the folder a cache. Two trials may convert at the same time: each file is renamed into
    place whole, and both write the same bytes.

    Raises:
        UserError: an unknown target, one that has no such architecture, a bad or changed checkpoint, or no proof.
    """
    if target not in RESNET_TARGETS:
        raise unknown_name("target", target, RESNET_TARGETS)
    out, stem = trial.weights_dir / target, _stem(trial)
    path, proof_path = paths(RESNET_TARGETS[target], out, stem)  # the same file names for every family
    ready = _ready(trial, target, path, proof_path)
    if ready:
        return ready
    backbone = trial_backbone(trial)
    return convert(backbone, get_target(target, backbone.arch), out, stem)


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


def trial_backbone(trial: Trial) -> Backbone:
    """The backbone that the trial names; a random one is drawn from ``trial.seed``.

    Raises:
        UserError: a bad checkpoint, or one that is no longer what the trial was planned with.
    """
    from transfer.weights.backbone import load_backbone, random_backbone

    weights = trial.weights
    if weights.is_random:
        return random_backbone(weights.source.removeprefix(RANDOM_PREFIX), trial.seed)
    backbone = load_backbone(weights.source, weights.which, weights.arch)
    if backbone.sha256 != weights.sha256:
        raise UserError(f"{weights.source} has changed since the trials were planned: start the command again")
    return backbone


def _stem(trial: Trial) -> str:
    name = re.sub(r"[^\w.-]", "_", trial.weights.name)
    seed = f"-seed{trial.seed}" if trial.weights.is_random else ""
    return f"{name}-{trial.weights.sha256[:8]}-{trial.weights.which}{seed}"


def _source_sha(trial: Trial) -> str:
    """What :attr:`Backbone.sha256` will be, known without opening anything."""
    weights = trial.weights
    return sha256_text(f"{weights.source}:{trial.seed}") if weights.is_random else weights.sha256


def _ready(trial: Trial, target: str, path: Path, proof_path: Path) -> Converted | None:
    """The cached conversion, if it is whole and of this source."""
    if not path.is_file() or not proof_path.is_file():
        return None
    proof = read_proofs(proof_path).get(target)
    if proof is None or proof["weights_sha256"] != sha256_file(path):
        return None
    if (proof["source"]["sha256"], proof["source"]["which"]) != (_source_sha(trial), trial.weights.which):
        return None
    if trial.weights.arch not in (None, proof["arch"]):
        return None
    (m0, m1, m2), (s0, s1, s2) = proof["mean"], proof["std"]
    preprocessing = Preprocessing(proof["colour_order"], mean=(m0, m1, m2), std=(s0, s1, s2))
    settings = get_target(target, proof["arch"]).default_settings(proof["arch"], preprocessing)
    verify_proof(proof, target, proof["arch"], proof["weights_sha256"], settings)
    return converted_from(proof, path, proof_path)
