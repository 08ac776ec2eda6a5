"""The features of a frozen backbone that linear heads are put on, all from one pass."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from pretrain.model import RESNETS
from pretrain.model import Backbone as BackboneModule

POOLED = "pooled"  # mean of a ResNet's last map
CLASS_TOKEN = "class token"
LAST_CLASS_TOKENS = "last 4 class tokens"  # of the last four blocks, one after the other
CLASS_AND_PATCHES = "class token + mean patch"

NUM_BLOCKS = 4


def feature_names(arch: str) -> tuple[str, ...]:
    """The features of an architecture."""
    return (POOLED,) if arch in RESNETS else (CLASS_TOKEN, LAST_CLASS_TOKENS, CLASS_AND_PATCHES)


def feature_sizes(arch: str, num_features: int) -> dict[str, int]:
    """Feature to its size; ``num_features`` is the backbone's."""
    factors = {LAST_CLASS_TOKENS: NUM_BLOCKS, CLASS_AND_PATCHES: 2}
    return {name: factors.get(name, 1) * num_features for name in feature_names(arch)}


class FrozenFeatures(nn.Module):
    """A backbone in eval mode, for good: (B, 3, H, W) to its features (B, D) by name."""

    def __init__(self, backbone: BackboneModule, arch: str) -> None:
        super().__init__()
        self._backbone = backbone.eval().requires_grad_(False)
        self._is_resnet = arch in RESNETS

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Frozen: stays in eval mode."""
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """In bf16 autocast on GPUs; the features are in single precision (double, if the backbone is)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.device.type == "cuda"):
            features = self._pooled(images) if self._is_resnet else self._tokens(images)
        return {name: feature.float() if feature.itemsize < 4 else feature for name, feature in features.items()}

    def _pooled(self, images: Tensor) -> dict[str, Tensor]:
        return {POOLED: self._backbone(images)}

    def _tokens(self, images: Tensor) -> dict[str, Tensor]:
        tokens = cast(Any, self._backbone).last_tokens(images, NUM_BLOCKS)  # a ViT: its module is slow to import
        class_token, patches = tokens[-1, :, 0], tokens[-1, :, 1:]
        return {
            CLASS_TOKEN: class_token,
            LAST_CLASS_TOKENS: tokens[:, :, 0].transpose(0, 1).flatten(1),
            CLASS_AND_PATCHES: torch.cat([class_token, patches.mean(dim=1)], dim=1),
        }
