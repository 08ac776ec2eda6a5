"""What a target framework is to the conversion, its key table, and whether it took every tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from transfer.weights.backbone import architecture
from transfer.weights.backbone.architecture import COUNTER, IMAGE_SIZE, expected_shapes
from transfer.weights.backbone.naming import Naming
from twist_common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfer.weights.backbone import Backbone, Preprocessing

Value = TypeVar("Value")
Settings = dict[str, Any]
Shapes = tuple[tuple[int, int, int, int], ...]
# The odd size: padding and rounding differ between wrong networks.
RESNET_IMAGES: Shapes = ((2, 3, 64, 96), (1, 3, 97, 67))
# The others have another grid, so that the resampling of the position embedding is compared too.
VIT_IMAGES: Shapes = ((1, 3, IMAGE_SIZE, IMAGE_SIZE), (2, 3, IMAGE_SIZE // 2, IMAGE_SIZE // 2), (1, 3, 80, 112))
# The stages of every ResNet that keeps torchvision's module names.
TORCHVISION_MODULES = {"stem": "maxpool", "res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
LAST_BLOCKS = "last_blocks"  # the setting of a model that reads plain ViTs' last four blocks
LAST_NORM = ("norm.weight", "norm.bias")  # of a ViT, which dense transfer does not use


class ConversionError(UserError):
    """The target did not compute the source's features, or did not take every tensor. Nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A framework that weights are converted for, and one family of architectures in it.

    Attributes:
        name, suffix: the file is ``<stem>.<suffix>``.
        absent: architectures of the family that the framework cannot build, to the reason.
        packages: distributions whose versions the proof states.
        naming: the target's names of our keys (torchvision's for ResNets, timm's for ViTs); None where they are ours.
        dropped: keys, or last parts of keys, that have no place in the target, to the reason.
        default_settings: architecture and preprocessing to every model setting that changes features.
        settings_of: the framework's own config to these settings; None where there are no configs.
        preprocessing_settings: which of the settings say how images are fed to the model.
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
    default_settings: Callable[[str, Preprocessing], Settings]
    preprocessing_settings: tuple[str, ...]
    write: Callable[[Path, dict[str, Tensor], Backbone], None]
    load: Callable[[Path, Settings], nn.Module]
    stages: Callable[[nn.Module, Tensor], dict[str, Tensor]]
    settings_of: Callable[[Any], Settings] | None = None
    naming: Naming | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    image_shapes: Shapes = RESNET_IMAGES
    resample_position: Callable[[Tensor, tuple[int, int]], Tensor] | None = None
    double: bool = False

    def rename(self, key: str) -> str:
        """The target's name of one of our keys.

        Raises:
            ConversionError: no row of the table fits.
        """
        name = self.naming.theirs(key) if self.naming else key
        if name is None:
            raise ConversionError(f"the key table of {self.name} has no row for {key!r}")
        return name


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
        ConversionError: a key has no row, or two keys would become one.
    """
    keys = list(expected_shapes(arch))
    dropped = {
        key: reason for key in keys for name, reason in target.dropped.items() if name in (key, key.rpartition(".")[2])
    }
    mapped = {key: target.rename(key) for key in keys if key not in dropped}
    if len(set(mapped.values())) != len(mapped):
        raise ConversionError(f"the key table of {target.name} gives two tensors of {arch} the same name")
    return KeyTable(mapped, dropped)


def map_names(arch: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the feature maps that a model with these settings reads, and its proof compares."""
    spec = architecture.get(arch)
    if spec.is_pyramid or not settings.get(LAST_BLOCKS):
        return spec.stages
    depth = int(spec.stages[-1].removeprefix("block"))
    return tuple(f"block{number}-norm" for number in range(depth - 3, depth + 1))


def unused_keys(arch: str, *, last_blocks: bool = False) -> list[str]:
    """What the network has for its pooled feature alone."""
    import torch

    from transfer.weights.backbone.network import build_dense_network

    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        used = build_dense_network(arch, last_blocks=last_blocks).state_dict()
    return [key for key in expected_shapes(arch) if key not in used]


def check_same_shapes(model: Mapping[str, Tensor], file: Mapping[str, Tensor], where: str) -> None:
    """Checks that the model and the file have the same keys and shapes.

    Batch counters that the file lacks are the model's own: torch starts them at 0.

    Args:
        model: state dict of the target's backbone.
        file: what the file holds.
        where: the framework, for the message.

    Raises:
        ConversionError: a key is missing, unexpected or of another shape.
    """
    missing = [key for key in model if key not in file and not key.endswith(COUNTER)]
    if missing:
        raise ConversionError(f"{where}: the weights lack {len(missing)} keys of its backbone, first {missing[0]!r}")
    unexpected = [key for key in file if key not in model]
    if unexpected:
        raise ConversionError(f"{where}: its backbone has no place for {len(unexpected)} keys, first {unexpected[0]!r}")
    for key, tensor in file.items():
        if tensor.shape != model[key].shape:
            shapes = f"{list(tensor.shape)} in the weights, {list(model[key].shape)} in its backbone"
            raise ConversionError(f"{where}: {key!r} has shape {shapes}")


def check_same_tensors(model: Mapping[str, Tensor], file: Mapping[str, Tensor], where: str) -> None:
    """Checks that after loading the model holds what the file holds: same keys, same values.

    Frameworks only log what did not fit, so nothing is read from their logs. Arguments and errors are those of
    :func:`check_same_shapes`; a tensor that was not loaded is an error too.
    """
    import torch

    check_same_shapes(model, file, where)
    for key, tensor in file.items():
        if not torch.equal(tensor, model[key].cpu()):
            raise ConversionError(f"{where}: {key!r} was not loaded, its backbone holds other values")


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


def torchvision_stages(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Feature maps of a ResNet that keeps torchvision's module names."""
    return hooked_stages(model, images, TORCHVISION_MODULES)
