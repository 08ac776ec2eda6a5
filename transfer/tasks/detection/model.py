"""The models: Detectron2's, and what 0.6 lacks for our protocols: ViTs with a feature pyramid, and MoCo's C4 heads.

The pyramid is written after Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object Detection",
section 3. Its windowed attention is left out: every block attends to the whole image, as in pre-training. Importing
this module registers nothing; :func:`register_models` does.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm
from detectron2.modeling import build_model
from detectron2.modeling.backbone import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads
from torch import Tensor, nn

from transfer.tasks.detection.data import seed_python_and_numpy
from transfer.weights.convert.detectron2_vit import PlainViT

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32, "p6": 64}
COARSEST_OF_PATCHES = 32  # p5; p6 is max pooled from it, and may round


def seeded_model(cfg: CfgNode, seed: int) -> nn.Module:
    """Detectron2's model, its parameters drawn from the seed alone: the same heads for every initialisation."""
    register_models()
    seed_python_and_numpy(seed)
    torch.manual_seed(seed)
    return build_model(cfg)


def register_models() -> None:
    """Makes the backbones and heads of this module known to configs by their names. Idempotent."""
    for build in (build_vit_backbone, build_vit_simple_pyramid_backbone):
        if build.__name__ not in BACKBONE_REGISTRY:
            BACKBONE_REGISTRY.register(build)
    if Res5HeadsWithNorm.__name__ not in ROI_HEADS_REGISTRY:
        ROI_HEADS_REGISTRY.register(Res5HeadsWithNorm)


def add_vit_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.VIT`` with its defaults to a Detectron2 config, which then can be merged with a file."""
    cfg.MODEL.VIT = CfgNode()
    cfg.MODEL.VIT.ARCH = "vit_base"
    cfg.MODEL.VIT.DROP_PATH = 0.0
    cfg.MODEL.VIT.OUT_CHANNELS = 256  # as FPN's


def is_vit(cfg: CfgNode) -> bool:
    """Whether the config's backbone is a ViT, rather than a ResNet."""
    return cfg.MODEL.BACKBONE.NAME in (build_vit_backbone.__name__, build_vit_simple_pyramid_backbone.__name__)


def build_vit_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> PlainViT:
    """The bare ViT, for heads of one scale."""
    return PlainViT(cfg.MODEL.VIT.ARCH, drop_path=cfg.MODEL.VIT.DROP_PATH)


def build_vit_simple_pyramid_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> SimplePyramid:
    """The ViT with the simple feature pyramid, in the place of a ResNet with FPN."""
    return SimplePyramid(build_vit_backbone(cfg, input_shape), cfg.MODEL.VIT.OUT_CHANNELS)


class SimplePyramid(Backbone):
    """Maps at strides 4 to 64, each made from the last map of the ViT alone (ViTDet, section 3).

    Args:
        bottom_up: the ViT; Detectron2's FPN has this name for its ResNet.
        out_channels: of every map.
    """

    def __init__(self, bottom_up: PlainViT, out_channels: int) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self._last = bottom_up._out_features[-1]
        width = bottom_up._out_feature_channels[self._last]
        self.p2 = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, 2, stride=2),
            ChannelNorm(width // 2),
            nn.GELU(),
            nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2),
            *_to_channels(width // 4, out_channels),
        )
        self.p3 = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, 2, stride=2), *_to_channels(width // 2, out_channels)
        )
        self.p4 = nn.Sequential(*_to_channels(width, out_channels))
        self.p5 = nn.Sequential(nn.MaxPool2d(2), *_to_channels(width, out_channels))
        self.top_block = LastLevelMaxPool()
        self._out_features = list(STRIDES)
        self._out_feature_strides = STRIDES
        self._out_feature_channels = dict.fromkeys(STRIDES, out_channels)

    @property
    def size_divisibility(self) -> int:
        return COARSEST_OF_PATCHES

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) to ``p2`` to ``p6``, (B, out_channels, H / stride, W / stride)."""
        tokens = self.bottom_up(images)[self._last]
        maps = {name: getattr(self, name)(tokens) for name in ("p2", "p3", "p4", "p5")}
        (maps["p6"],) = self.top_block(maps["p5"])
        return maps


def _to_channels(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        ChannelNorm(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        ChannelNorm(out_channels),
    ]


class ChannelNorm(nn.Module):
    """Layer norm over the channels at each position of a map (B, C, H, W)."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(num_channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        normed: Tensor = self.norm(maps.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


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
