"""Any network as a backbone of MMSegmentation. Import it after :func:`transfer.compat.prepare_mmseg`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from timm.layers import convert_sync_batchnorm

from transfer.weights.backbone.network import build_dense_network
from transfer.weights.backbone.timm_network import NUM_MAPS


class AnyBackbone(BaseModule):
    """A network of ours or of timm: images (B, 3, H, W) to its four feature maps, first stage first.

    Args:
        arch: any name that :func:`transfer.weights.backbone.architecture.get` knows.
        drop_path: rate of stochastic depth in the last block.
        frozen: whether nothing of it learns and batch norms stay in eval mode.
        last_blocks: whether plain ViTs give their last four blocks through the last norm, not those after each quarter.
        class_token: whether the maps are those after each quarter with the class token joined, where there is one.
        norm_cfg: of type ``SyncBN`` where batch norms are taken over all processes.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        arch: str,
        drop_path: float = 0.0,
        frozen: bool = False,
        last_blocks: bool = False,
        class_token: bool = False,
        norm_cfg: Mapping[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self.arch, self.frozen, self.last_blocks, self.class_token = arch, frozen, last_blocks, class_token
        self.network = build_dense_network(arch, drop_path, last_blocks=last_blocks)
        if norm_cfg and norm_cfg["type"] == "SyncBN" and get_world_size() > 1:
            self.network = convert_sync_batchnorm(self.network)
        self.network.requires_grad_(not frozen)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The maps (B, channels, H / stride, W / stride)."""
        if self.last_blocks:
            return tuple(self.network.forward_last(images))
        if self.class_token:
            return tuple(self.network.forward_joined(images))
        return tuple(self.network.forward_stages(images).values())[-NUM_MAPS:]  # the stem of a ResNet comes before them

    def train(self, mode: bool = True) -> AnyBackbone:
        """As torch's; a frozen backbone stays in eval mode."""
        super().train(mode and not self.frozen)
        return self


def register_backbone() -> None:
    """Makes :class:`AnyBackbone` known to MMSegmentation's configs. Idempotent."""
    MODELS.register_module(module=AnyBackbone, force=True)
