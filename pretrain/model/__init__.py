"""The networks: backbones by name, TWIST's projection head, and both together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor, nn

from common.errors import UserError, unknown_name
from pretrain.model.backbone import Backbone
from pretrain.model.norms import BunchNorm
from pretrain.model.resnet import ResNetBackbone, wide_resnet50

__all__ = [
    "BACKBONES",
    "RESNETS",
    "VITS",
    "Backbone",
    "ProjectionHead",
    "ResNetBackbone",
    "TwistModel",
    "build_backbone",
]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": lambda: nn.ReLU(inplace=True), "gelu": nn.GELU}


def _vit(*, num_features: int, num_heads: int) -> Callable[[float], Backbone]:
    def build(drop_path: float) -> Backbone:
        from pretrain.model.vit import ViTBackbone  # imports timm, which takes a second that ResNets need not spend

        return ViTBackbone(num_features=num_features, num_heads=num_heads, drop_path=drop_path)

    return build


RESNETS: dict[str, Callable[[], Backbone]] = {
    "resnet18": lambda: ResNetBackbone.of(torchvision.models.resnet18()),
    "resnet34": lambda: ResNetBackbone.of(torchvision.models.resnet34()),
    "resnet50": lambda: ResNetBackbone.of(torchvision.models.resnet50()),
    "resnet101": lambda: ResNetBackbone.of(torchvision.models.resnet101()),
    "resnet50w2": lambda: wide_resnet50(2),
}

VITS: dict[str, Callable[[float], Backbone]] = {
    "deit_small": _vit(num_features=384, num_heads=6),  # Touvron et al. 2021, table 1: DeiT-S
    "vit_base": _vit(num_features=768, num_heads=12),  # Dosovitskiy et al. 2021, table 1: ViT-Base
}

BACKBONES: dict[str, Callable[..., Backbone]] = {**RESNETS, **VITS}


def build_backbone(name: str, drop_path: float = 0.0) -> Backbone:
    """A freshly initialised backbone (torchvision's or timm's initialisation, drawn from torch's global generator).

    Args:
        name: a key of :data:`BACKBONES`.
        drop_path: rate of stochastic depth in the last block; ViTs only.

    Raises:
        UserError: there is no backbone of this name, or a ResNet shall drop paths.
    """
    if name in VITS:
        return VITS[name](drop_path)
    if name not in RESNETS:
        raise unknown_name("backbone", name, BACKBONES)
    if drop_path:
        raise UserError(f"model.drop_path is {drop_path}, but {name} is no ViT: leave it at 0")
    return RESNETS[name]()


class ProjectionHead(nn.Module):
    """Two hidden layers, a linear layer to C classes, then batch norm without affine before the softmax (NBS).

    Args:
        in_features: size of the backbone's feature.
        hidden: width of both hidden layers (4096 in the paper).
        num_classes: C.
        activation: ``"relu"`` or ``"gelu"``. Heads with GELU are the ViTs': they draw the weights of their linear
            layers from a truncated normal distribution of deviation 0.02, as the backbone does.
        nbs: without it the head ends with the linear layer (the paper's table 7).

    Raises:
        UserError: there is no activation of this name.
    """

    def __init__(
        self, in_features: int, hidden: int, num_classes: int, activation: str = "relu", nbs: bool = True
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise unknown_name("activation", activation, ACTIVATIONS)
        activate = ACTIVATIONS[activation]
        self.mlp = nn.Sequential(
            nn.Linear(in_features, hidden),
            nn.BatchNorm1d(hidden),
            activate(),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            activate(),
            nn.Linear(hidden, num_classes),
        )
        self.nbs: BunchNorm | NoNorm = BunchNorm(num_classes) if nbs else NoNorm()
        if activation == "gelu":
            _draw_like_a_vit(self.mlp)

    def forward(self, features: Tensor, num_views: int = 1) -> Tensor:
        """Features (N, in_features) to logits (N, num_classes); N is ``num_views`` times as many as images."""
        logits: Tensor = self.nbs(self.mlp(features), num_views)
        return logits


class NoNorm(nn.Module):
    """In the place of :class:`pretrain.model.norms.BunchNorm`, changes nothing."""

    def forward(self, logits: Tensor, num_views: int = 1) -> Tensor:
        """The logits as they are."""
        return logits


def _draw_like_a_vit(mlp: nn.Sequential) -> None:
    for layer in mlp:
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)


class TwistModel(nn.Module):
    """Backbone and head over all views of a batch."""

    def __init__(self, backbone: Backbone, head: ProjectionHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """Logits of all views.

        Crops of one size go through the backbone together; the head sees all views at once, so the statistics
        of its batch norms, NBS too, mix global and local views.

        Args:
            views: V batches of crops of the same B images, each (B, 3, H, W); sizes may differ.

        Returns:
            Logits (V, B, C), in the order of ``views``.
        """
        features: dict[int, Tensor] = {}
        for size in dict.fromkeys(view.shape[-2:] for view in views):
            members = [index for index, view in enumerate(views) if view.shape[-2:] == size]
            pooled = self.backbone(torch.cat([views[index] for index in members]))
            features.update(zip(members, pooled.chunk(len(members)), strict=True))
        logits: Tensor = self.head(torch.cat([features[index] for index in range(len(views))]), len(views))
        return logits.unflatten(0, (len(views), -1))
