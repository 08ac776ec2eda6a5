"""A vision transformer for Detectron2 0.6, which has none: timm's, plain, and ViTDet's simple feature pyramid.

Written after Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object Detection", section 3. Its
windowed attention is left out: every block attends to the whole image, as in pre-training. Nothing is registered by
importing this module; call :func:`register`, and :func:`add_vit_config` on the config before it is merged with a file.
"""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import Tensor, nn

from common.errors import unknown_name
from pretrain.model import VITS, build_backbone
from transfer.weights.backbone import architecture
from transfer.weights.backbone.architecture import PATCH_SIZE

STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32, "p6": 64}
COARSEST_OF_PATCHES = 32  # p5; p6 is its max pooling, which rounds as it likes


def add_vit_config(cfg: CfgNode) -> None:
    """Adds ``MODEL.VIT`` with its defaults to a Detectron2 config."""
    cfg.MODEL.VIT = CfgNode()
    cfg.MODEL.VIT.ARCH = "vit_base"
    cfg.MODEL.VIT.DROP_PATH = 0.0
    cfg.MODEL.VIT.OUT_CHANNELS = 256  # as FPN's


def register() -> None:
    """Makes both backbones known to ``MODEL.BACKBONE.NAME``. Idempotent."""
    for build in (build_vit_backbone, build_vit_simple_pyramid_backbone):
        if build.__name__ not in BACKBONE_REGISTRY:
            BACKBONE_REGISTRY.register(build)


def is_vit(cfg: CfgNode) -> bool:
    """Whether the config's backbone is one of these, rather than a ResNet."""
    return cfg.MODEL.BACKBONE.NAME in (build_vit_backbone.__name__, build_vit_simple_pyramid_backbone.__name__)


def build_vit_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> PlainViT:
    """The bare ViT, for the proof of a conversion and for heads of one scale."""
    return PlainViT(cfg.MODEL.VIT.ARCH, drop_path=cfg.MODEL.VIT.DROP_PATH)


def build_vit_simple_pyramid_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> SimplePyramid:
    """The ViT with the simple feature pyramid, in the place of a ResNet with FPN."""
    return SimplePyramid(build_vit_backbone(cfg, input_shape), cfg.MODEL.VIT.OUT_CHANNELS)


class PlainViT(Backbone):
    """:mod:`pretrain.model`'s ViT; the outputs are its patch tokens after each quarter of the blocks, at stride 16.

    Args:
        arch: a key of :data:`pretrain.model.VITS`.
        drop_path: rate of stochastic depth in the last block.

    Raises:
        UserError: the architecture is no ViT that is known.
    """

    def __init__(self, arch: str, *, drop_path: float = 0.0) -> None:
        super().__init__()
        if arch not in VITS:
            raise unknown_name("ViT", arch, VITS)
        self.vit: Any = build_backbone(arch, drop_path)
        self.vit.norm = nn.Identity()  # not used on maps; parameters without gradient would stop DDP
        self._out_features = list(architecture.get(arch).stages)
        self._out_feature_strides = dict.fromkeys(self._out_features, PATCH_SIZE)
        self._out_feature_channels = dict.fromkeys(self._out_features, self.vit.num_features)

    @property
    def size_divisibility(self) -> int:
        return PATCH_SIZE

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) to four maps (B, width, H / 16, W / 16)."""
        maps: dict[str, Tensor] = self.vit.forward_stages(images)
        return maps


class SimplePyramid(Backbone):
    """Maps at strides 4 to 64, each made from the last map of the ViT alone (ViTDet, section 3).

    Args:
        bottom_up: the ViT; its name is that of Detectron2's FPN.
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
    """Layer norm over the channels of each place of a map (B, C, H, W)."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(num_channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        normed: Tensor = self.norm(maps.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)
