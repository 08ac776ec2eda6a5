"""The table of backbones, and how one is built from its name."""

from __future__ import annotations

from collections.abc import Callable

import torchvision

from pretrain.model.backbone import Backbone
from pretrain.model.resnet import ResNetBackbone, wide_resnet50
from pretrain.recipe import Resampling
from twist_common.errors import UserError, unknown_name


def _vit(*, num_features: int, num_heads: int) -> Callable[[float, Resampling], Backbone]:
    def build(drop_path: float, position_resampling: Resampling) -> Backbone:
        from pretrain.model.vit import ViTBackbone  # imports timm, which takes a second that ResNets need not spend

        return ViTBackbone(
            num_features=num_features,
            num_heads=num_heads,
            drop_path=drop_path,
            position_resampling=position_resampling,
        )

    return build


RESNETS: dict[str, Callable[[], Backbone]] = {
    "resnet18": lambda: ResNetBackbone.of(torchvision.models.resnet18()),
    "resnet34": lambda: ResNetBackbone.of(torchvision.models.resnet34()),
    "resnet50": lambda: ResNetBackbone.of(torchvision.models.resnet50()),
    "resnet101": lambda: ResNetBackbone.of(torchvision.models.resnet101()),
    "resnet50w2": lambda: wide_resnet50(2),
}

VITS: dict[str, Callable[[float, Resampling], Backbone]] = {
    "deit_small": _vit(num_features=384, num_heads=6),  # Touvron et al. 2021, table 1: DeiT-S
    "vit_base": _vit(num_features=768, num_heads=12),  # Dosovitskiy et al. 2021, table 1: ViT-Base
}

BACKBONES: dict[str, Callable[..., Backbone]] = {**RESNETS, **VITS}


def build_backbone(name: str, drop_path: float = 0.0, position_resampling: Resampling = "timm") -> Backbone:
    """A freshly initialised backbone (torchvision's or timm's initialisation, drawn from torch's global generator).

    Args:
        name: a key of :data:`BACKBONES`.
        drop_path: rate of stochastic depth in the last block; ViTs only.
        position_resampling: how position embeddings are resampled for images that are not 224 px; ViTs only.
            Pre-training uses its recipe's choice, transfer timm's.

    Raises:
        UserError: there is no backbone of this name, or ``drop_path`` is set for a ResNet.
    """
    if name in VITS:
        return VITS[name](drop_path, position_resampling)
    if name not in RESNETS:
        raise unknown_name("backbone", name, BACKBONES)
    if drop_path:
        raise UserError(f"model.drop_path is {drop_path}, but {name} is no ViT: leave it at 0")
    return RESNETS[name]()
