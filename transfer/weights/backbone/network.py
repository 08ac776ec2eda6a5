"""A backbone from the name of any known architecture: ours, or one of timm."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pretrain.model import Backbone, build_backbone
from pretrain.model.backbone import joined
from transfer.weights.backbone.architecture import ResNetSpec, canonical, get, proved_blocks
from transfer.weights.backbone.timm_network import TimmSpec, create
from transfer.weights.backbone.types import Backbone as BackboneWeights
from twist_common.errors import UserError


def build_network(arch: str, drop_path: float = 0.0) -> Backbone:
    """A freshly initialised backbone, drawn from torch's global generator, with torchvision's or timm's keys.

    Args:
        arch: any name that :func:`transfer.weights.backbone.architecture.get` knows.
        drop_path: rate of stochastic depth in the last block.

    Raises:
        UserError: there is no architecture of this name, it has no stochastic depth, or no feature maps.
    """
    spec = get(arch)
    if not isinstance(spec, TimmSpec):
        return build_backbone(canonical(arch), drop_path)
    settings: dict[str, Any] = dict(spec.settings)
    if drop_path:
        settings["drop_path_rate"] = drop_path
    try:
        network = create(spec.name, **settings)
    except TypeError:
        if not drop_path:
            raise
        raise UserError(f"drop_path is {drop_path}, but timm's {spec.name} has no stochastic depth") from None
    return as_backbone(network, spec)


def loaded_network(backbone: BackboneWeights) -> Backbone:
    """:func:`build_network` with the backbone's weights, all of them; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):  # the initialisation is overwritten
        network = build_network(backbone.arch)
    network.load_state_dict(backbone.state_dict, strict=True)
    return network


def build_dense_network(arch: str, drop_path: float = 0.0, *, last_blocks: bool = False) -> Backbone:
    """As :func:`build_network`, without the modules that no feature map depends on: last norms, pooling, head layers.

    Parameters without gradient would stop distributed training. Only ``forward_stages`` is of use then.

    Args:
        last_blocks: leave plain ViTs their last norm, so that ``forward_last`` is of use instead.
    """
    network, spec = build_network(arch, drop_path), get(arch)
    if isinstance(spec, ResNetSpec):
        return network
    indices = spec.indices if isinstance(spec, TimmSpec) else [number - 1 for number in proved_blocks(spec.depth)]
    network.prune_intermediate_layers(list(indices), prune_norm=not last_blocks or spec.is_pyramid, prune_head=True)  # type: ignore[operator] # timm's
    return network


def as_backbone(network: nn.Module, spec: TimmSpec) -> Backbone:
    """timm's network with the methods of a backbone.

    Its class becomes one that is made from timm's and :class:`TimmBackbone`, so that all keys and names of parameters
    stay timm's.
    """
    timms: Any = type(network)
    backbone: Any = network
    backbone.__class__ = ABCMeta(f"{timms.__name__}Backbone", (TimmBackbone, timms), {"timms_forward": timms.forward})
    backbone.num_features = int(getattr(network, "head_hidden_size", None) or backbone.num_features)
    backbone.spec = spec
    result: Backbone = backbone
    return result


class TimmBackbone(Backbone):
    """The methods of a backbone over a network of timm.

    Attributes:
        spec: what it is.
    """

    spec: TimmSpec
    timms_forward: Any

    def forward(self, images: Tensor) -> Tensor:
        """timm's features before the classifier, pooled as the network does it: (B, 3, H, W) to (B, num_features)."""
        features: Tensor = self.timms_forward(self._fitting(images))
        return features

    def forward_stages(self, images: Tensor) -> dict[str, Tensor]:
        """The four maps (B, channels, H / stride, W / stride); of plain ViTs each quarter's, before the last norm."""
        maps = self.forward_intermediates(  # type: ignore[operator] # timm's
            self._fitting(images),
            indices=list(self.spec.indices),
            norm=False,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        return dict(zip(self.spec.stages, maps, strict=True))

    def forward_last(self, images: Tensor) -> list[Tensor]:
        if self.spec.is_pyramid:
            return super().forward_last(images)
        maps: list[Tensor] = self.forward_intermediates(  # type: ignore[operator] # timm's
            self._fitting(images), indices=4, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps

    def forward_joined(self, images: Tensor) -> list[Tensor]:
        if getattr(self, "cls_token", None) is None:
            return super().forward_joined(images)
        pairs: list[tuple[Tensor, Tensor]] = self.forward_intermediates(  # type: ignore[operator] # timm's
            self._fitting(images),
            indices=list(self.spec.indices),
            norm=False,
            output_fmt="NCHW",
            return_prefix_tokens=True,
            intermediates_only=True,
        )
        return [joined(*pair) for pair in pairs]

    def _fitting(self, images: Tensor) -> Tensor:
        """Images of whole patches: zeros, the mean colour, are added below and on the right."""
        height, width = images.shape[-2:]
        if not self.spec.any_size and (height, width) != self.spec.image_size:
            own = "x".join(map(str, self.spec.image_size))
            raise UserError(f"timm's {self.spec.name} takes images of {own} px only, not {height}x{width}")
        if self.spec.patch_size is None:
            return images
        below, right = (-size % patch for size, patch in zip((height, width), self.spec.patch_size, strict=True))
        return functional.pad(images, (0, right, 0, below)) if below or right else images
