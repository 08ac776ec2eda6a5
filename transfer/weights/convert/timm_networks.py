"""Any network of timm, as safetensors for timm itself; the feature maps are picked up at timm's own modules."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from transfer.weights.backbone.timm_network import TimmSpec, variant_of
from transfer.weights.convert.libraries import settings_of_model, timm_target
from transfer.weights.convert.target import ConversionError, Settings, Shapes, Target, hooked_stages

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Preprocessing


@functools.cache
def target_of(spec: TimmSpec) -> Target:
    """timm as the target of one of its networks."""

    def default_settings(arch: str, preprocessing: Preprocessing) -> Settings:
        variant = variant_of(spec.name)
        return {**settings_of_model(variant.model, preprocessing), **variant.settings, **spec.settings}

    def stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        outputs = hooked_stages(model, images, dict(zip(spec.stages, spec.modules, strict=True)))
        maps = zip(spec.stages, spec.channels, spec.strides, strict=True)
        return {name: _as_map(outputs[name], channels, stride, images) for name, channels, stride in maps}

    return timm_target(default_settings=default_settings, stages=stages, image_shapes=image_shapes(spec))


def image_shapes(spec: TimmSpec) -> Shapes:
    """Two shapes that are not square and not the training's, where the network takes others; and the training's."""
    own = (1, 3, *spec.image_size)
    if not spec.any_size:
        return (own,)
    side = max(spec.strides)
    others: Shapes = ((2, 3, 2 * side, 3 * side), (1, 3, 5 * side, 4 * side))
    return (*others, own) if spec.settings else others  # networks without settings know no training size


def _as_map(output: Tensor, channels: int, stride: int, images: Tensor) -> Tensor:
    """What a module of timm gives (maps, maps with channels last, or tokens) as (B, channels, height, width)."""
    height, width = (-(-side // stride) for side in images.shape[-2:])
    if output.ndim == 3 and output.shape[1] >= height * width:  # tokens of the class and registers come first
        return output[:, -height * width :].transpose(1, 2).unflatten(2, (height, width))
    if output.ndim == 4 and output.shape[1] == channels:
        return output
    if output.ndim == 4 and output.shape[3] == channels:
        return output.permute(0, 3, 1, 2)
    raise ConversionError(f"timm: a feature map is {list(output.shape)}, not one of {channels} channels")
