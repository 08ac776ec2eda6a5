"""A backbone to one target's weight file with its proof beside it; and the file of a trial, converted once."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer import compat
from transfer.trial import Trial
from transfer.weights.backbone import architecture
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.backbone.types import Preprocessing
from transfer.weights.convert.detectron2 import DETECTRON2_RESNETS
from transfer.weights.convert.detectron2_any import detectron2_any_target
from transfer.weights.convert.libraries import TIMM_RESNETS, TIMM_VITS, TORCHVISION_RESNETS, TORCHVISION_VITS
from transfer.weights.convert.mmseg import MMSEG_RESNETS, MMSEG_VITS
from transfer.weights.convert.mmseg_any import mmseg_any_target
from transfer.weights.convert.proof import SCHEMA_VERSION, Proof, prove, verify_proof
from transfer.weights.convert.target import Settings, Target, key_table
from transfer.weights.convert.timm_networks import target_of
from transfer.weights.of_trial import trial_backbone
from twist_common.errors import UserError, unknown_name
from twist_common.files import atomic_path, sha256_file, sha256_text, write_text

if TYPE_CHECKING:
    from transfer.weights.backbone import Backbone

RESNET_TARGETS: dict[str, Target] = {
    "detectron2": DETECTRON2_RESNETS,
    "mmseg": MMSEG_RESNETS,
    "torchvision": TORCHVISION_RESNETS,
    "timm": TIMM_RESNETS,
}
VIT_TARGETS: dict[str, Target] = {
    "mmseg": MMSEG_VITS,
    "torchvision": TORCHVISION_VITS,
    "timm": TIMM_VITS,
}

REQUIRED = frozenset({"arch", "source", "settings", "stages", "weights_sha256", "colour_order", "mean", "std"})


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A weight file that is proved.

    Attributes:
        path: for ``MODEL.WEIGHTS`` (Detectron2), ``init_cfg`` (mmseg), ``load_file`` (safetensors).
        proof_path: holds the proof of every target converted under this name.
        proof: this target's.
        arch, source_format: of the source.
        sha256: of the weight file's bytes.
    """

    path: Path
    proof_path: Path
    proof: Proof
    arch: str
    source_format: str
    sha256: str


def targets_of(arch: str) -> dict[str, Target]:
    """Every target of this architecture's family, including those that lack the architecture itself.

    Raises:
        UserError: the architecture is unknown.
    """
    spec = architecture.get(arch)
    name = architecture.canonical(arch)
    of_any = {
        "detectron2-any": detectron2_any_target(name),
        "mmseg-any": mmseg_any_target(name),
        "mmseg-last": mmseg_any_target(name, last_blocks=True),
    }
    if isinstance(spec, TimmSpec):
        return {"timm": target_of(spec), **of_any}
    return {**(RESNET_TARGETS if isinstance(spec, architecture.ResNetSpec) else VIT_TARGETS), **of_any}


def get_target(name: str, arch: str) -> Target:
    """The target of this name for an architecture.

    Raises:
        UserError: there is no such target, or it has no such architecture.
    """
    targets = targets_of(arch)
    if name not in targets and name in RESNET_TARGETS:
        raise UserError(f"{name} itself has no {arch}: convert it for {', '.join(targets)}")
    if name not in targets:
        raise unknown_name("target", name, targets)
    target = targets[name]
    if arch in target.absent:
        others = ", ".join(other for other, its in targets.items() if arch not in its.absent)
        raise UserError(f"{name} has no {arch}: {target.absent[arch]}; convert it for {others}")
    return target


def convert(
    backbone: Backbone, target: Target | str, out: Path, stem: str, settings: Settings | None = None
) -> Converted:
    """Writes ``<stem>.<suffix>``, proves it, moves it into place, then adds the proof to ``<stem>.proof.json``.

    Args:
        target: or its name.
        out: folder; made if it is missing.
        settings: of the model that the weights are for; None is the plain network in the target's terms.

    Raises:
        ConversionError: the proof failed; nothing is in place then.
        UserError: the target has no such architecture, its framework is not installed, or the folder cannot be
            written to.
    """
    known = get_target(target if isinstance(target, str) else target.name, backbone.arch)
    target = known if isinstance(target, str) else target
    if reason := compat.missing_framework(target.name):
        raise UserError(reason)
    table = key_table(target, backbone.arch)
    settings = settings or target.default_settings(backbone.arch, backbone.preprocessing)
    path, proof_path = _paths(target, out, stem)
    with atomic_path(path) as temporary:
        target.write(temporary, table.forward(backbone.state_dict), backbone)
        proof = prove(backbone, target, table, temporary, settings)
    proofs = {name: other for name, other in read_proofs(proof_path).items() if other["source"] == proof["source"]}
    content = {"schema_version": SCHEMA_VERSION, "proofs": {**proofs, target.name: proof}}
    write_text(proof_path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return _converted(proof, path, proof_path)


def converted_weights(trial: Trial, target: str) -> Converted:
    """The trial's weights for a target framework, converted once into ``trial.weights_dir``.

    A file that is there is used only if its bytes are those that its proof is about, and the proof is of this
    checkpoint, for this architecture and for the settings that its preprocessing needs; else it is converted again:
    the checkpoint is the truth, the folder a cache. Two trials may convert at the same time: each file is renamed into
    place whole, and both write the same bytes.

    Raises:
        UserError: an unknown target, one that has no such architecture, a bad or changed checkpoint, or no proof.
    """
    weights = trial.weights
    name = re.sub(r"[^\w.-]", "_", weights.name)
    seed = f"-seed{trial.seed}" if weights.is_random else ""
    said = "".join(f"-{sha256_text(each)[:8]}" for each in weights.reading.key)
    stem = f"{name}-{weights.sha256[:8]}-{weights.which}{said}{seed}"
    out = trial.weights_dir / target
    path, proof_path = _paths(get_target(target, "resnet18"), out, stem)  # the same file names for every family
    if ready := _ready(trial, target, path, proof_path):
        return ready
    backbone = trial_backbone(trial)
    return convert(backbone, get_target(target, backbone.arch), out, stem)


def _ready(trial: Trial, target: str, path: Path, proof_path: Path) -> Converted | None:
    """The cached conversion, if it is whole and of this source; the checkpoint is not opened."""
    weights = trial.weights
    source_sha = sha256_text(f"{weights.source}:{trial.seed}") if weights.is_random else weights.sha256
    if not path.is_file() or not proof_path.is_file():
        return None
    proof = read_proofs(proof_path).get(target)
    if proof is None or proof["weights_sha256"] != sha256_file(path):
        return None
    if (proof["source"]["sha256"], proof["source"]["which"]) != (source_sha, weights.which):
        return None
    if weights.arch is not None and architecture.canonical(weights.arch) != proof["arch"]:
        return None
    (m0, m1, m2), (s0, s1, s2) = proof["mean"], proof["std"]
    preprocessing = Preprocessing(proof["colour_order"], mean=(m0, m1, m2), std=(s0, s1, s2))
    settings = get_target(target, proof["arch"]).default_settings(proof["arch"], preprocessing)
    verify_proof(proof, target, proof["arch"], proof["weights_sha256"], settings)
    return _converted(proof, path, proof_path)


def verify_config(converted: Converted, target: str, config: Any) -> None:
    """Checks that the file is the one that was proved, and that its proof holds for the config of a task.

    Args:
        target: the framework of the task.
        config: as the framework's ``Target.settings_of`` takes it.

    Raises:
        UserError: see :func:`~transfer.weights.convert.proof.verify_proof`.
    """
    settings_of = get_target(target, converted.arch).settings_of
    assert settings_of is not None, f"{target} has no configs"
    verify_proof(converted.proof, target, converted.arch, sha256_file(converted.path), settings_of(config))


def read_proofs(proof_path: Path) -> dict[str, Proof]:
    """Target name to proof; empty when there is no file yet, or one of another version of this program.

    Raises:
        UserError: the file is damaged.
    """
    if not proof_path.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(proof_path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            return {}
        proofs: dict[str, Proof] = dict(content["proofs"])
        for proof in proofs.values():
            if missing := REQUIRED - proof.keys():
                raise ValueError(f"it lacks {min(missing)}")
        return proofs
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{proof_path} is not a proof file ({error}): delete it and convert again") from None


def _paths(target: Target, out: Path, stem: str) -> tuple[Path, Path]:
    return out / f"{stem}.{target.suffix}", out / f"{stem}.proof.json"


def _converted(proof: Proof, path: Path, proof_path: Path) -> Converted:
    return Converted(
        path=path,
        proof_path=proof_path,
        proof=proof,
        arch=proof["arch"],
        source_format=proof["source"]["format"],
        sha256=proof["weights_sha256"],
    )
