"""The models: Detectron2's, and what 0.6 lacks for our protocols: any network with a pyramid, and MoCo's C4 heads.

The simple pyramid is written after Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object Detection",
section 3. Its windowed attention is left out: every block attends to the whole image, as in pre-training. Importing
this module registers nothing; :func:`register_models` does.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm
from detectron2.modeling import build_model
from detectron2.modeling.backbone import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads
from torch import Tensor, nn
from torch.nn import functional

from transfer.tasks.detection.data import seed_python_and_numpy
from transfer.tasks.detection.work import ANY_BACKBONE, SYNCHRONISED_NORMS
from transfer.weights.backbone import architecture
from transfer.weights.convert.detectron2_backbone import AnyBackbone

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32, "p6": 64}


def seeded_model(cfg: CfgNode, seed: int) -> nn.Module:
    """Detectron2's model, its parameters drawn from the seed alone: the same heads for every initialisation.

    On GPUs it computes channels last: steps of 16 images take 0.88 (``voc``) and 0.89 (``coco``) of the time (H100).
    """
    register_models()
    seed_python_and_numpy(seed)
    torch.manual_seed(seed)
    model = build_model(cfg)
    return model.to(memory_format=torch.channels_last) if cfg.MODEL.DEVICE == "cuda" else model


def register_models() -> None:
    """Makes the backbone and heads of this module known to configs by their names. Idempotent."""
    if ANY_BACKBONE not in BACKBONE_REGISTRY:
        BACKBONE_REGISTRY.register(build_any_backbone)
    if Res5HeadsWithNorm.__name__ not in ROI_HEADS_REGISTRY:
        ROI_HEADS_REGISTRY.register(Res5HeadsWithNorm)


def add_network_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.NETWORK`` with its defaults to a Detectron2 config, which then can be merged with a file."""
    cfg.MODEL.NETWORK = CfgNode()
    cfg.MODEL.NETWORK.ARCH = ""  # that of the weights
    cfg.MODEL.NETWORK.DROP_PATH = 0.0  # of plain networks


def takes_any(cfg: CfgNode) -> bool:
    """Whether the config's backbone is whatever network the weights are of, rather than Detectron2's ResNet."""
    return bool(cfg.MODEL.BACKBONE.NAME == ANY_BACKBONE)


def build_any_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """The network that ``MODEL.NETWORK.ARCH`` names, with FPN if it has a pyramid, else with the simple one."""
    spec = architecture.get(cfg.MODEL.NETWORK.ARCH)
    bottom_up = AnyBackbone(
        cfg.MODEL.NETWORK.ARCH,
        drop_path=0.0 if spec.is_pyramid else cfg.MODEL.NETWORK.DROP_PATH,
        sync_norm=cfg.MODEL.RESNETS.NORM in SYNCHRONISED_NORMS,
        frozen=cfg.MODEL.BACKBONE.FREEZE_AT > 0,
    )
    if not spec.is_pyramid:
        return SimplePyramid(bottom_up, cfg.MODEL.FPN.OUT_CHANNELS)
    return FPN(
        bottom_up,
        in_features=list(bottom_up.output_shape()),
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


class SimplePyramid(Backbone):
    """Maps at strides 4 to 64, each made from the last map of a plain network alone (ViTDet, section 3).

    The last map is upsampled by transposed convolutions and downsampled by max pooling. ViTDet has patches of 16 px.
    Those of 14 px are first resampled to a stride of 16 px; other sizes are powers of two.

    Args:
        bottom_up: the network; Detectron2's FPN has this name for its ResNet.
        out_channels: of every map.
    """

    def __init__(self, bottom_up: AnyBackbone, out_channels: int) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self._last, shape = list(bottom_up.output_shape().items())[-1]
        power = round(math.log2(shape.stride))
        self._resampling = shape.stride / 2**power
        for level in (2, 3, 4, 5):
            setattr(self, f"p{level}", _from_last(shape.channels, power - level, out_channels))
        self.top_block = LastLevelMaxPool()
        self._out_features = list(STRIDES)
        self._out_feature_strides = STRIDES
        self._out_feature_channels = dict.fromkeys(STRIDES, out_channels)

    @property
    def size_divisibility(self) -> int:
        return self.bottom_up.size_divisibility

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W), multiples of 32, to ``p2`` to ``p6``, (B, out_channels, H / stride, W / stride)."""
        tokens = self.bottom_up(images)[self._last]
        if self._resampling != 1:  # by the very factor: patches below and right of the image keep their places
            tokens = functional.interpolate(tokens, scale_factor=self._resampling, mode="bilinear")
        maps = {name: getattr(self, name)(tokens) for name in ("p2", "p3", "p4", "p5")}
        (maps["p6"],) = self.top_block(maps["p5"])
        return maps


def _from_last(width: int, doublings: int, out_channels: int) -> nn.Sequential:
    """From the last map to one of ``2 ** doublings`` times its sides."""
    layers: list[nn.Module] = [nn.MaxPool2d(2**-doublings)] if doublings < 0 else []
    for number in range(doublings):
        if number:
            layers += [ChannelNorm(width), nn.GELU()]
        layers.append(nn.ConvTranspose2d(width, width // 2, 2, stride=2))
        width //= 2
    return nn.Sequential(*layers, *_to_channels(width, out_channels))


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
