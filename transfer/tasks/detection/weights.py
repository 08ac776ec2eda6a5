"""Loads converted weights into a detector's backbone, and checks that this is what happened."""

from __future__ import annotations

from pathlib import Path

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from torch import Tensor, nn

from transfer.tasks.detection.config import with_weights
from transfer.tasks.detection.model import takes_any
from transfer.trial import Trial
from transfer.weights.backbone.architecture import RESNETS
from transfer.weights.convert.convert import Converted, converted_weights, verify_config
from transfer.weights.convert.detectron2 import read
from transfer.weights.convert.target import check_same_tensors
from twist_common.errors import UserError


def fitted(cfg: CfgNode, trial: Trial) -> tuple[CfgNode, Converted]:
    """The trial's config for its weights, and these converted, once, where the trial will look for them.

    Raises:
        UserError: see :func:`~transfer.weights.convert.convert.converted_weights` and :func:`check_fits`.
    """
    converted = converted_weights(trial, "detectron2-any" if takes_any(cfg) else "detectron2")
    if takes_any(cfg):
        cfg = with_weights(cfg, converted.proof["settings"])
    check_fits(cfg, converted)
    return cfg, converted


def check_fits(cfg: CfgNode, converted: Converted) -> None:
    """The proof must be of these weights, in the very backbone and with the very input that the config describes.

    Raises:
        UserError: another architecture, or anything that changes features: stem, stride, colour order, mean, std.
    """
    arch = converted.arch
    if not takes_any(cfg):  # kind and depth are enough; the proof covers the rest
        wanted = f"resnet{cfg.MODEL.RESNETS.DEPTH}"
        if arch not in RESNETS or RESNETS[arch].depth != int(cfg.MODEL.RESNETS.DEPTH):
            raise UserError(
                f"the weights are of a {arch}, the config has a {wanted}: use weights or a benchmark of the other's "
                "architecture"
            )
    verify_config(converted, converted.proof["target"], cfg)


def load_backbone_weights(model: nn.Module, weights: Path) -> None:
    """Loads the backbone with Detectron2's own checkpointer, which only logs what it could not match; so every
    tensor of the backbone is compared with the file afterwards.

    Raises:
        UserError: a tensor of the backbone is not in the file, or one of the file was not loaded.
    """
    DetectionCheckpointer(model).load(str(weights))
    check_same_tensors(backbone_tensors(model), read(weights), "Detectron2")


def backbone_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a detector that come from the backbone's file, under the file's names.

    With FPN that is ``backbone.bottom_up``. With C4 it is ``backbone`` and, in the heads, ``res5`` without the batch
    norm that follows it there (:class:`transfer.tasks.detection.model.Res5HeadsWithNorm`).
    """
    modules = dict(model.named_modules())
    bottom_up = modules.get("backbone.bottom_up")
    if bottom_up is not None:
        return dict(bottom_up.state_dict())
    tensors = dict(modules["backbone"].state_dict())
    if "roi_heads.res5" in modules:
        res5 = modules["roi_heads.res5"].state_dict()
        tensors |= {f"res5.{name}": tensor for name, tensor in res5.items() if not name.startswith("norm.")}
    return tensors
