"""Loads converted weights into a detector's backbone, and checks that this is what happened."""

from __future__ import annotations

from pathlib import Path

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from torch import Tensor, nn

from common.errors import UserError
from common.files import sha256_file
from transfer.backbone.architecture import RESNETS, VITS
from transfer.convert import detectron2, detectron2_vit
from transfer.convert.convert import Converted
from transfer.convert.loaded import check_same_tensors
from transfer.convert.proof import verify_proof
from transfer.detection.vit import PlainViT, build_vit_backbone, build_vit_simple_pyramid_backbone

VIT_PYRAMID = build_vit_simple_pyramid_backbone.__name__
VIT_BACKBONES = (VIT_PYRAMID, build_vit_backbone.__name__)


def check_fits(cfg: CfgNode, converted: Converted) -> None:
    """The proof must be of these weights, in the very backbone and with the very input that the config describes.

    Raises:
        UserError: another architecture, or anything that changes features: stem, stride, colour order, mean, std.
    """
    is_vit = cfg.MODEL.BACKBONE.NAME in VIT_BACKBONES
    asked = cfg.MODEL.VIT.ARCH if is_vit else f"resnet{cfg.MODEL.RESNETS.DEPTH}"
    if needed := _needed_overrides(converted.arch, is_vit=is_vit, depth=cfg.MODEL.RESNETS.DEPTH):
        raise UserError(
            f"the weights are of a {converted.arch}, the config has a {asked}: add {needed} to run it off protocol"
        )
    settings = (detectron2_vit if is_vit else detectron2).settings_from_cfg(cfg)
    verify_proof(converted.proof, "detectron2", converted.arch, sha256_file(converted.path), settings)


def _needed_overrides(arch: str, *, is_vit: bool, depth: int) -> str:
    """What a config lacks for weights of another architecture; empty if nothing."""
    if arch in VITS:
        return "" if is_vit else f"MODEL.BACKBONE.NAME={VIT_PYRAMID} MODEL.VIT.ARCH={arch}"
    spec = RESNETS[arch]
    if is_vit:
        return "the name of a ResNet's backbone in MODEL.BACKBONE.NAME"
    if spec.depth == depth:
        return ""
    return f"MODEL.RESNETS.DEPTH={spec.depth} MODEL.RESNETS.RES2_OUT_CHANNELS={64 * spec.expansion}"


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
    norm that follows it there (:class:`transfer.detection.heads.Res5HeadsWithNorm`).
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
