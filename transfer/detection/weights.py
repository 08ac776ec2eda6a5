"""Loads converted weights into a detector's backbone, and checks that this is what happened."""

from __future__ import annotations

from pathlib import Path

from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from transfer.convert.detectron2 import read
from transfer.convert.loaded import check_same_tensors


def load_backbone_weights(model: nn.Module, weights: Path) -> None:
    """Loads the backbone with Detectron2's own checkpointer, which only logs what it could not match; so every
    tensor of the backbone is compared with the file afterwards.

    Raises:
        UserError: a tensor of the backbone is not in the file, or one of the file was not loaded.
    """
    DetectionCheckpointer(model).load(str(weights))
    backbone = getattr(model.backbone, "bottom_up", model.backbone)  # FPN holds the ResNet as bottom_up
    check_same_tensors(backbone.state_dict(), read(weights), "Detectron2")
