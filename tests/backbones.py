"""Backbones for tests: whole, with batch-norm statistics that matter, and checkpoints that hold nearly no bytes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from transfer.weights.backbone import Backbone, random_backbone
from transfer.weights.backbone.architecture import COUNTER, expected_shapes

NARROW_VIT = "vit_narrow"


def add_narrow_vit(patch: pytest.MonkeyPatch) -> None:
    """Makes a ViT of four narrow blocks an architecture, so that ViTs are converted in a moment."""
    from pretrain import model
    from pretrain.model.vit import ViTBackbone
    from pretrain.recipe import Resampling
    from transfer.weights.backbone import architecture
    from transfer.weights.convert import libraries

    spec = architecture.ViTSpec(48, 3, depth=4)
    patch.setitem(architecture.VITS, NARROW_VIT, spec)
    patch.setitem(libraries.TIMM_NAMES, NARROW_VIT, "vit_base_patch16_224")

    def build(drop_path: float, position_resampling: Resampling) -> ViTBackbone:
        return ViTBackbone(
            num_features=spec.width,
            num_heads=spec.num_heads,
            depth=spec.depth,
            drop_path=drop_path,
            position_resampling=position_resampling,
        )

    patch.setitem(model.VITS, NARROW_VIT, build)


def trained_like(arch: str, seed: int = 0) -> Backbone:
    """A random backbone whose norms have random statistics and whose attention is not even: else a mix-up of
    statistics, or of queries and keys, would not show."""
    backbone = random_backbone(arch, seed)
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in backbone.state_dict.items():
        if "attn.qkv.weight" in key:
            tensor.normal_(std=tensor.shape[1] ** -0.5, generator=generator)
        elif key.endswith("running_var") or (key.endswith("weight") and tensor.ndim == 1):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif key.endswith(("running_mean", "bias")):
            tensor.normal_(std=0.1, generator=generator)
        elif key.endswith(COUNTER):
            tensor.fill_(1000)
    return backbone


def flat_state(arch: str = "resnet18", offset: float = 0.0) -> dict[str, Tensor]:
    """A state dict of the right shapes in which every tensor is one number, another one for each key.

    The numbers are stored once and expanded, so a file of it is small.
    """
    return {
        key: torch.tensor(index) if key.endswith(COUNTER) else torch.tensor(index + 1 + offset).expand(shape)
        for index, (key, shape) in enumerate(expected_shapes(arch).items())
    }


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The same values under ``prefix + key``."""
    return {prefix + key: value for key, value in state.items()}


def flat_head(in_features: int = 512, hidden: int = 8, num_classes: int = 5) -> dict[str, Tensor]:
    """The state dict of a small :class:`pretrain.model.head.ProjectionHead`."""
    from pretrain.model.head import ProjectionHead

    return ProjectionHead(in_features, hidden, num_classes).state_dict()
