"""A vision transformer for Detectron2 0.6, which has none: timm's, as it is.

Imports Detectron2: call :func:`transfer.compat.prepare_detectron2` first.
"""

from __future__ import annotations

from typing import Any

from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from common.errors import unknown_name
from pretrain.model import VITS, build_backbone
from transfer.weights.backbone import architecture
from transfer.weights.backbone.architecture import PATCH_SIZE


class PlainViT(Backbone):
    """:mod:`pretrain.model`'s ViT; the outputs are its patch tokens after each quarter of the blocks, at stride 16.

    Args:
        arch: a key of :data:`pretrain.model.VITS`.
        drop_path: rate of stochastic depth in the last block.

    Raises:
        UserError: the architecture is no known ViT.
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
