"""MoCo's detection heads: R-CNN's C4 heads with one more batch norm."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import get_norm
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads


class Res5HeadsWithNorm(Res5ROIHeads):
    """Boxes and masks from res5 of each region, with a batch norm behind res5.

    As in the detection code of MoCo (He et al. 2020): features of self-supervised networks are not normalised where a
    supervised network's classifier begins, and the new layers are trained on them.
    """

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, Any]) -> dict[str, Any]:
        """Detectron2's arguments for these heads. Keys of the new layer: ``roi_heads.res5.norm.*``."""
        arguments = super().from_config(cfg, input_shape)
        res5 = arguments["res5"]
        res5.add_module("norm", get_norm(cfg.MODEL.RESNETS.NORM, res5[-1].out_channels))
        return arguments


def register() -> None:
    """Makes the heads known to Detectron2 as ``MODEL.ROI_HEADS.NAME: Res5HeadsWithNorm``."""
    if Res5HeadsWithNorm.__name__ not in ROI_HEADS_REGISTRY:
        ROI_HEADS_REGISTRY.register(Res5HeadsWithNorm)
