"""What a target framework is to the conversion, and the key tables as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import UserError
from transfer.weights.backbone.architecture import expected_shapes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone, Preprocessing

Value = TypeVar("Value")
Settings = dict[str, Any]
Shapes = tuple[tuple[int, int, int, int], ...]
# The odd size: padding and rounding differ between wrong networks.
RESNET_IMAGES: Shapes = ((2, 3, 64, 96), (1, 3, 97, 67))


class ConversionError(UserError):
    """The target did not compute the source's features, or did not take every tensor. Nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A framework that weights are converted for, and one family of architectures in it.

    Attributes:
        name, suffix: the file is ``<stem>.<suffix>``.
        absent: architectures of the family that the framework cannot build, to the reason.
        packages: distributions whose versions the proof states.
        rename: our key (torchvision's for ResNets, timm's for ViTs) to the target's; None drops it.
        dropped_because: the reason for every key that ``rename`` drops.
        default_settings: architecture and preprocessing to every model setting that changes features.
        preprocessing_settings: which of these say how images are fed to the model.
        write: writes the renamed tensors to a file; the same bytes for the same tensors.
        load: builds the target's own backbone by the settings and loads the file the way the framework does.
        stages: images (B, 3, H, W) through the loaded backbone to a feature map for each stage of the
            architecture.
        image_shapes: of the proof's images.
        resample_position: a ViT's position embedding (1, 1 + tokens, width) and grid to that for the grid, where the
            target does it in another way than timm does; None where it does the same.
        double: whether both networks are compared in float64: where the target computes attention in another order,
            float32 differs by a part of the tolerance that grows with the network.
    """

    name: str
    suffix: str
    packages: tuple[str, ...]
    rename: Callable[[str], str | None]
    dropped_because: str
    default_settings: Callable[[str, Preprocessing], Settings]
    preprocessing_settings: tuple[str, ...]
    write: Callable[[Path, dict[str, Tensor], Backbone], None]
    load: Callable[[Path, Settings], nn.Module]
    stages: Callable[[nn.Module, Tensor], dict[str, Tensor]]
    absent: dict[str, str] = field(default_factory=dict)
    image_shapes: Shapes = RESNET_IMAGES
    resample_position: Callable[[Tensor, tuple[int, int]], Tensor] | None = None
    double: bool = False


@dataclass(frozen=True)
class KeyTable:
    """Our key to the target's key, and our dropped key to the reason: together every key, once."""

    mapped: dict[str, str]
    dropped: dict[str, str]

    def forward(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """The target's state dict. KeyError if a key is in neither table."""
        return {self.mapped[key]: value for key, value in state.items() if key not in self.dropped}

    def backward(self, converted: Mapping[str, Value]) -> dict[str, Value]:
        """Our keys again, without the dropped ones."""
        sources = {target: source for source, target in self.mapped.items()}
        return {sources[key]: value for key, value in converted.items()}


def key_table(target: Target, arch: str) -> KeyTable:
    """The bijection between our keys and the target's for one architecture.

    Raises:
        ConversionError: two keys would become one.
    """
    renamed = {key: target.rename(key) for key in expected_shapes(arch)}
    mapped = {key: new for key, new in renamed.items() if new is not None}
    if len(set(mapped.values())) != len(mapped):
        raise ConversionError(f"the key table of {target.name} gives two tensors of {arch} the same name")
    return KeyTable(mapped, {key: target.dropped_because for key, new in renamed.items() if new is None})


def hooked_stages(model: nn.Module, images: Tensor, modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Feature maps picked up at named modules during one forward pass.

    Args:
        modules: stage to module name, e.g. ``{"res2": "layer1"}``.
    """
    maps: dict[str, Tensor] = {}

    def keep(stage: str) -> Callable[[nn.Module, Any, Tensor], None]:
        # a copy, because the next layer may work in place
        return lambda module, inputs, output: maps.__setitem__(stage, output.clone())

    handles = [model.get_submodule(name).register_forward_hook(keep(stage)) for stage, name in modules.items()]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return maps


# The names of the stages in every ResNet that keeps torchvision's module names.
TORCHVISION_MODULES = {"stem": "maxpool", "res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
