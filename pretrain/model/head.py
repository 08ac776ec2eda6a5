"""TWIST's projection head: an MLP that ends in a batch norm before the softmax (NBS)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pretrain.model.norms import BunchNorm
from pretrain.recipe import Model
from twist_common.errors import unknown_name

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": lambda: nn.ReLU(inplace=True), "gelu": nn.GELU}


class ProjectionHead(nn.Module):
    """Two hidden layers, a linear layer to C classes, then batch norm without affine before the softmax (NBS).

    Args:
        in_features: size of the backbone's feature.
        hidden: width of both hidden layers (4096 in the paper).
        num_classes: C.
        activation: ``"relu"`` or ``"gelu"``. Heads with GELU are for ViTs: like the backbone's, the weights of their
            linear layers are drawn from a truncated normal distribution with standard deviation 0.02.
        nbs: if False, the head ends with the linear layer (the paper's table 7).

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
            for layer in self.mlp:
                if isinstance(layer, nn.Linear):
                    nn.init.trunc_normal_(layer.weight, std=0.02)
                    nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, num_views: int = 1) -> Tensor:
        """Features (N, in_features) to logits (N, num_classes); N is ``num_views`` times the number of images."""
        logits: Tensor = self.nbs(self.mlp(features), num_views)
        return logits


class NoNorm(nn.Module):
    """Replaces :class:`pretrain.model.norms.BunchNorm` where there is no NBS; does nothing."""

    def forward(self, logits: Tensor, num_views: int = 1) -> Tensor:
        """Returns the logits unchanged."""
        return logits


def head_config(settings: Model, in_features: int) -> dict[str, Any]:
    """The arguments of a recipe's :class:`ProjectionHead`; they are exported with its weights."""
    return {
        "in_features": in_features,
        "hidden": settings.hidden,
        "num_classes": settings.num_classes,
        "activation": settings.activation,
        "nbs": settings.nbs,
    }
