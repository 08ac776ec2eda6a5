"""What the frameworks' targets for any network share: it stands in a wrapper of ours, as ``network``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transfer.weights.backbone import architecture
from transfer.weights.backbone.architecture import ResNetSpec
from transfer.weights.backbone.naming import Naming
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.convert.target import (
    LAST_BLOCKS,
    RESNET_IMAGES,
    VIT_IMAGES,
    Target,
    hooked_stages,
    map_names,
    unused_keys,
)
from transfer.weights.convert.timm_networks import image_shapes

if TYPE_CHECKING:
    from torch import Tensor, nn


def any_target(arch: str, *, last_blocks: bool = False, **framework: Any) -> Target:
    """The target for this architecture, ours or timm's.

    Args:
        last_blocks: whether of plain ViTs the last four blocks are read, through the last norm.
        framework: the fields of :class:`Target` that are the framework's own. What it loads gives the maps of the last
            stages, by their names or in their order.
    """
    spec = architecture.get(arch)
    names = map_names(arch, {LAST_BLOCKS: last_blocks})

    def stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        stem = {"stem": "network.maxpool"} if isinstance(spec, ResNetSpec) else {}
        maps: dict[str, Tensor] = {}

        def keep(module: nn.Module, inputs: Any, outputs: Any) -> None:
            named = outputs if isinstance(outputs, dict) else zip(names[-len(outputs) :], outputs, strict=True)
            maps.update(named)

        handle = model.register_forward_hook(keep)
        try:
            return {**hooked_stages(model, images, stem), **maps}
        finally:
            handle.remove()

    if isinstance(spec, TimmSpec):
        shapes = image_shapes(spec)
    else:
        shapes = RESNET_IMAGES if isinstance(spec, ResNetSpec) else VIT_IMAGES
    return Target(
        naming=Naming((("{p}", "network.{p}"),)),
        dropped=dict.fromkeys(unused_keys(arch, last_blocks=last_blocks), "no feature map depends on it"),
        stages=stages,
        image_shapes=shapes,
        **framework,
    )
