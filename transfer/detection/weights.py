"""Loads converted weights into a detector's backbone, and checks that this is what happened."""

from __future__ import annotations

from pathlib import Path

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from torch import Tensor, nn

from common.errors import UserError
from common.files import sha256_file
from transfer.backbone.architecture import RESNETS
from transfer.convert.convert import Converted
from transfer.convert.detectron2 import read, settings_from_cfg
from transfer.convert.loaded import check_same_tensors
from transfer.convert.proof import verify_proof


def check_fits(cfg: CfgNode, converted: Converted) -> None:
    """The proof must be of these weights, in the very backbone and with the very input that the config describes.

    Raises:
        UserError: another architecture, or anything that changes features: stem, stride, colour order, mean, std.
    """
    spec = RESNETS[converted.arch]
    if spec.depth != cfg.MODEL.RESNETS.DEPTH:
        width = 64 * spec.expansion
        raise UserError(
            f"the weights are of a {converted.arch}, the config has MODEL.RESNETS.DEPTH {cfg.MODEL.RESNETS.DEPTH}: "
            f"add MODEL.RESNETS.DEPTH={spec.depth} MODEL.RESNETS.RES2_OUT_CHANNELS={width} "
            "to run it off protocol"
        )
    verify_proof(converted.proof, "detectron2", converted.arch, sha256_file(converted.path), settings_from_cfg(cfg))


def load_backbone_weights(model: nn.Module, weights: Path) -> None:
    """Loads the backbone with Detectron2's own checkpointer, which only logs what it could not match; so every
    tensor of the backbone is compared with the file afterwards.

    Raises:
        UserError: a tensor of the backbone is not in the file, or one of the file was not loaded.
    """
    DetectionCheckpointer(model).load(str(weights))
    check_same_tensors(backbone_tensors(model), read(weights), "Detectron2")


def backbone_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What of a detector comes from the backbone's file, under the file's names.

    With FPN that is ``backbone.bottom_up``. With C4 it is ``backbone`` and, in the heads, ``res5`` without the batch
    norm that follows it there (:class:`transfer.detection.heads.Res5HeadsWithNorm`).
    """
    if hasattr(model.backbone, "bottom_up"):
        return dict(model.backbone.bottom_up.state_dict())
    tensors = dict(model.backbone.state_dict())
    if hasattr(model.roi_heads, "res5"):
        res5 = model.roi_heads.res5.state_dict()
        tensors |= {f"res5.{name}": tensor for name, tensor in res5.items() if not name.startswith("norm.")}
    return tensors
