"""Loads converted weights into a detector's backbone, and checks that this is what happened."""

from __future__ import annotations

from pathlib import Path

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from torch import Tensor, nn

from common.errors import UserError
from common.files import sha256_file
from transfer.tasks.detection.vit import PlainViT, is_vit
from transfer.weights.backbone.architecture import RESNETS, VITS
from transfer.weights.convert import detectron2, detectron2_vit
from transfer.weights.convert.convert import Converted
from transfer.weights.convert.loaded import check_same_tensors
from transfer.weights.convert.proof import verify_proof


def check_fits(cfg: CfgNode, converted: Converted) -> None:
    """The proof must be of these weights, in the very backbone and with the very input that the config describes.

    Raises:
        UserError: another architecture, or anything that changes features: stem, stride, colour order, mean, std.
    """
    if not _has_arch(cfg, converted.arch):
        raise UserError(
            f"the weights are of a {converted.arch}, the config has a {_arch(cfg)}: use weights or a benchmark of the "
            "other's architecture"
        )
    settings = (detectron2_vit if is_vit(cfg) else detectron2).settings_from_cfg(cfg)
    verify_proof(converted.proof, "detectron2", converted.arch, sha256_file(converted.path), settings)


def _arch(cfg: CfgNode) -> str:
    return str(cfg.MODEL.VIT.ARCH) if is_vit(cfg) else f"resnet{cfg.MODEL.RESNETS.DEPTH}"


def _has_arch(cfg: CfgNode, arch: str) -> bool:
    """Of ResNets only kind and depth are looked at; the proof tells the rest."""
    if arch in VITS or is_vit(cfg):
        return _arch(cfg) == arch
    return RESNETS[arch].depth == int(cfg.MODEL.RESNETS.DEPTH)


def load_backbone_weights(model: nn.Module, weights: Path) -> None:
    """Loads the backbone with Detectron2's own checkpointer, which only logs what it could not match; so every
    tensor of the backbone is compared with the file afterwards.

    Raises:
        UserError: a tensor of the backbone is not in the file, or one of the file was not loaded.
    """
    DetectionCheckpointer(model).load(str(weights))
    check_same_tensors(backbone_tensors(model), detectron2.read(weights), "Detectron2")


def backbone_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What of a detector comes from the backbone's file, under the file's names.

    With FPN that is ``backbone.bottom_up``. With C4 it is ``backbone`` and, in the heads, ``res5`` without the batch
    norm that follows it there (:class:`transfer.tasks.detection.heads.Res5HeadsWithNorm`).
    """
    modules = dict(model.named_modules())
    bottom_up = modules.get("backbone.bottom_up")
    if bottom_up is not None:
        return dict((bottom_up.vit if isinstance(bottom_up, PlainViT) else bottom_up).state_dict())
    tensors = dict(modules["backbone"].state_dict())
    if "roi_heads.res5" in modules:
        res5 = modules["roi_heads.res5"].state_dict()
        tensors |= {f"res5.{name}": tensor for name, tensor in res5.items() if not name.startswith("norm.")}
    return tensors
