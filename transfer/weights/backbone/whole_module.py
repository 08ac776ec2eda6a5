"""Modules that were pickled whole: what their layers are set to, beside their tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transfer.weights.backbone.tree import WholeModule
from twist_common.errors import UserError


def says_heads(state: Mapping[str, Any]) -> bool:
    """Whether the module was pickled whole and its attention has a number of heads, which is then compared."""
    return isinstance(state, WholeModule) and any("num_heads" in said for said in state.settings.values())


def refuse_other_layers(state: Mapping[str, Any], arch: str, our_name: Callable[[str], str | None], where: str) -> None:
    """Raises :class:`UserError` where a layer is set to what the architecture does not have: another epsilon, stride,
    dilation or number of heads.

    Args:
        state: what the network is taken from; only a module that was pickled whole says it.
        our_name: from a key of it to ours; None where it is no part of the network.
    """
    import torch

    from transfer.weights.backbone.network import build_network

    if not isinstance(state, WholeModule):
        return
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        layers = dict(build_network(arch).named_modules())
    for name, said in state.settings.items():
        key = our_name(f"{name}.weight")
        layer = layers.get(key.removesuffix(".weight")) if key else None
        for setting, value in said.items():
            if (expected := getattr(layer, setting, value)) != value:
                raise UserError(
                    f"{where} is a whole module whose {name} has {setting} {value}, where a {arch} has {expected}, so "
                    f"its features are others: give a checkpoint of a {arch}, or --arch if timm has this network"
                )
