"""A backbone to one target's weight file with its proof beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError, unknown_name
from common.files import atomic_path, write_text
from transfer.weights.backbone import architecture
from transfer.weights.convert.detectron2 import DETECTRON2
from transfer.weights.convert.detectron2_vit import DETECTRON2_VIT_TARGET
from transfer.weights.convert.mmseg import MMSEG
from transfer.weights.convert.mmseg_vit import MMSEG_VIT_TARGET
from transfer.weights.convert.plain import TIMM, TORCHVISION
from transfer.weights.convert.plain_vit import TIMM_VIT_TARGET, TORCHVISION_VIT_TARGET
from transfer.weights.convert.proof import SCHEMA_VERSION, Proof, prove
from transfer.weights.convert.target import Settings, Target, key_table

if TYPE_CHECKING:
    from transfer.weights.backbone import Backbone

RESNET_TARGETS: dict[str, Target] = {
    "detectron2": DETECTRON2,
    "mmseg": MMSEG,
    "torchvision": TORCHVISION,
    "timm": TIMM,
}
VIT_TARGETS: dict[str, Target] = {
    "detectron2": DETECTRON2_VIT_TARGET,
    "mmseg": MMSEG_VIT_TARGET,
    "torchvision": TORCHVISION_VIT_TARGET,
    "timm": TIMM_VIT_TARGET,
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
    """Every target of this architecture's family, those that lack the architecture itself among them.

    Raises:
        UserError: the architecture is unknown.
    """
    return RESNET_TARGETS if isinstance(architecture.get(arch), architecture.ResNetSpec) else VIT_TARGETS


def get_target(name: str, arch: str) -> Target:
    """The target of this name for an architecture.

    Raises:
        UserError: there is no such target, or it has no such architecture.
    """
    targets = targets_of(arch)
    if name not in targets:
        raise unknown_name("target", name, targets)
    target = targets[name]
    if arch in target.absent:
        others = ", ".join(other for other, its in targets.items() if arch not in its.absent)
        raise UserError(f"{name} has no {arch}: {target.absent[arch]}; convert it for {others}")
    return target


def paths(target: Target, out: Path, stem: str) -> tuple[Path, Path]:
    """Where the weights and the proof go."""
    return out / f"{stem}.{target.suffix}", out / f"{stem}.proof.json"


def convert(backbone: Backbone, target: Target, out: Path, stem: str, settings: Settings | None = None) -> Converted:
    """Writes ``<stem>.<suffix>``, proves it, puts it in place, then adds the proof to ``<stem>.proof.json``.

    Args:
        out: folder; made if it is missing.
        settings: of the model that the weights are for; None is the plain network in the target's terms.

    Raises:
        ConversionError: the proof failed; nothing is in place then.
        UserError: the target has no such architecture, or the folder cannot be written to.
    """
    get_target(target.name, backbone.arch)
    table = key_table(target, backbone.arch)
    settings = settings or target.default_settings(backbone.arch, backbone.preprocessing)
    path, proof_path = paths(target, out, stem)
    with atomic_path(path) as temporary:
        target.write(temporary, table.forward(backbone.state_dict), backbone)
        proof = prove(backbone, target, table, temporary, settings)
    others = _proofs_of_same_source(proof_path, proof)
    content = {"schema_version": SCHEMA_VERSION, "proofs": {**others, target.name: proof}}
    write_text(proof_path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return converted_from(proof, path, proof_path)


def converted_from(proof: Proof, path: Path, proof_path: Path) -> Converted:
    """The result, as the proof tells it."""
    return Converted(
        path=path,
        proof_path=proof_path,
        proof=proof,
        arch=proof["arch"],
        source_format=proof["source"]["format"],
        sha256=proof["weights_sha256"],
    )


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


def _proofs_of_same_source(proof_path: Path, proof: Proof) -> dict[str, Proof]:
    return {name: other for name, other in read_proofs(proof_path).items() if other["source"] == proof["source"]}
