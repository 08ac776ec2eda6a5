"""The architectures: which tensors they hold. Pure functions, no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transfer.timm_source import TIMM_PREFIX
from transfer.weights.backbone.timm_network import TimmSpec, is_timm, timm_has_class_token, timm_spec
from twist_common.errors import unknown_name

Shape = tuple[int, ...]

COUNTER = "num_batches_tracked"  # BatchNorm's count of training batches; torch has saved it since 0.4.1
PATCH_SIZE = 16
IMAGE_SIZE = 224


@dataclass(frozen=True)
class ResNetSpec:
    """Depth, kind of block and number of blocks in layer1 to layer4 (He et al. 2016, table 1).

    Attributes:
        widen: factor of every width, including the stem's (SimCLR's ResNet-50 2x); torchvision's ``wide_resnet``
            widens other layers.
    """

    depth: int
    block: Literal["basic", "bottleneck"]
    num_blocks: tuple[int, int, int, int]
    widen: int = 1

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the feature maps that a proof compares; Detectron2's: ``res2`` is torchvision's ``layer1``."""
        return ("stem", "res2", "res3", "res4", "res5")

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the feature maps."""
        return (self.stem_channels, *(self.stem_channels * self.expansion * 2**layer for layer in range(4)))

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the feature maps."""
        return (4, 4, 8, 16, 32)

    @property
    def is_pyramid(self) -> bool:
        """Whether the feature maps are of four strides, rather than of one."""
        return True

    @property
    def image_size(self) -> tuple[int, int]:
        """That it is known with; it takes every size."""
        return IMAGE_SIZE, IMAGE_SIZE

    @property
    def patch_size(self) -> None:
        """It has none."""
        return None

    @property
    def stem_channels(self) -> int:
        return 64 * self.widen

    @property
    def expansion(self) -> int:
        return 4 if self.block == "bottleneck" else 1

    def shapes(self) -> dict[str, Shape]:
        """See :func:`expected_shapes`."""
        in_channels = self.stem_channels
        shapes: dict[str, Shape] = {"conv1.weight": (in_channels, 3, 7, 7), **_batch_norm("bn1", in_channels)}
        for layer, num_blocks in enumerate(self.num_blocks, start=1):
            width = self.stem_channels * 2 ** (layer - 1)
            out_channels = width * self.expansion
            for block in range(num_blocks):
                prefix = f"layer{layer}.{block}"
                convs = [(in_channels, width, 3), (width, width, 3)]
                if self.block == "bottleneck":
                    convs = [(in_channels, width, 1), (width, width, 3), (width, out_channels, 1)]
                for index, (fan_in, fan_out, kernel) in enumerate(convs, start=1):
                    shapes[f"{prefix}.conv{index}.weight"] = (fan_out, fan_in, kernel, kernel)
                    shapes |= _batch_norm(f"{prefix}.bn{index}", fan_out)
                if block == 0 and (layer > 1 or in_channels != out_channels):
                    shapes[f"{prefix}.downsample.0.weight"] = (out_channels, in_channels, 1, 1)
                    shapes |= _batch_norm(f"{prefix}.downsample.1", out_channels)
                in_channels = out_channels
        return shapes


def _batch_norm(prefix: str, channels: int) -> dict[str, Shape]:
    vectors: dict[str, Shape] = {
        f"{prefix}.{name}": (channels,) for name in ("weight", "bias", "running_mean", "running_var")
    }
    return vectors | {f"{prefix}.{COUNTER}": ()}


@dataclass(frozen=True)
class ViTSpec:
    """A vision transformer with patches of 16 px and a class token, for images of 224 px.

    Attributes:
        width: of the tokens; the MLPs are four times as wide.
        num_heads: of each attention; no tensor's shape shows it.
        depth: number of blocks.
    """

    width: int
    num_heads: int
    depth: int = 12

    @property
    def stages(self) -> tuple[str, ...]:
        """The patch tokens after each quarter of the blocks, as :mod:`pretrain.model` names them."""
        return tuple(f"block{number}" for number in proved_blocks(self.depth))

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the feature maps."""
        return (self.width,) * 4

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the feature maps."""
        return (PATCH_SIZE,) * 4

    @property
    def is_pyramid(self) -> bool:
        """Whether the feature maps are of four strides, rather than of one."""
        return False

    @property
    def image_size(self) -> tuple[int, int]:
        """That its position embedding is for."""
        return IMAGE_SIZE, IMAGE_SIZE

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return PATCH_SIZE, PATCH_SIZE

    def shapes(self) -> dict[str, Shape]:
        """See :func:`expected_shapes`."""
        width, num_tokens = self.width, (IMAGE_SIZE // PATCH_SIZE) ** 2 + 1
        shapes: dict[str, Shape] = {
            "cls_token": (1, 1, width),
            "pos_embed": (1, num_tokens, width),
            "patch_embed.proj.weight": (width, 3, PATCH_SIZE, PATCH_SIZE),
            "patch_embed.proj.bias": (width,),
        }
        layers: dict[str, Shape] = {
            "norm1": (width,),
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "norm2": (width,),
            "mlp.fc1": (4 * width, width),
            "mlp.fc2": (width, 4 * width),
        }
        for block in range(self.depth):
            for layer, shape in layers.items():
                shapes |= {f"blocks.{block}.{layer}.weight": shape, f"blocks.{block}.{layer}.bias": shape[:1]}
        return shapes | {"norm.weight": (width,), "norm.bias": (width,)}


def proved_blocks(depth: int) -> list[int]:
    """The last block of each quarter of a ViT, counted from 1: 3, 6, 9 and 12 of 12."""
    return [round(quarter * depth / 4) for quarter in (1, 2, 3, 4)]


RESNETS: dict[str, ResNetSpec] = {
    "resnet18": ResNetSpec(18, "basic", (2, 2, 2, 2)),
    "resnet34": ResNetSpec(34, "basic", (3, 4, 6, 3)),
    "resnet50": ResNetSpec(50, "bottleneck", (3, 4, 6, 3)),
    "resnet101": ResNetSpec(101, "bottleneck", (3, 4, 23, 3)),
    "resnet50w2": ResNetSpec(50, "bottleneck", (3, 4, 6, 3), widen=2),
}
VITS: dict[str, ViTSpec] = {
    "deit_small": ViTSpec(384, 6),  # Touvron et al. 2021, table 1
    "vit_base": ViTSpec(768, 12),  # Dosovitskiy et al. 2021, table 1
}

# timm's names of the same networks. Its ViT-S and ViT-B are others at other tags: only the plain ones are ours.
SAME_IN_TIMM = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "deit_small_patch16_224": "deit_small",
}


def names() -> list[str]:
    """Every known architecture."""
    return [*RESNETS, *VITS]


def canonical(arch: str) -> str:
    """The one name of an architecture: ours where we have it (timm's ResNet-50 is torchvision's), else timm's.

    Raises:
        UserError: there is none of this name, neither here nor in timm.
    """
    if arch in RESNETS or arch in VITS:
        return arch
    if not re.fullmatch(r"[\w.-]+(:[\w.-]+)?", arch) or not is_timm(arch):
        raise unknown_name("architecture", arch, names())
    name = arch.removeprefix(TIMM_PREFIX)
    ours = SAME_IN_TIMM.get(name.partition(".")[0])
    return ours or name


def get(arch: str) -> ResNetSpec | ViTSpec | TimmSpec:
    """The architecture of this name: ours, or any of timm's, with or without ``timm:`` before it.

    Raises:
        UserError: there is none, or it is a network of timm without feature maps.
    """
    arch = canonical(arch)
    return RESNETS.get(arch) or VITS.get(arch) or timm_spec(arch)


def expected_shapes(arch: str) -> dict[str, Shape]:
    """Every key of torchvision's (ResNets) or timm's (ViTs) state dict, in its order, with its shape; no classifier.

    Raises:
        UserError: the architecture is unknown.
    """
    return get(arch).shapes()


def has_class_token(arch: str) -> bool:
    """Whether :meth:`pretrain.model.Backbone.forward_joined` gives maps of twice the channels."""
    spec = get(arch)
    return timm_has_class_token(spec.name) if isinstance(spec, TimmSpec) else isinstance(spec, ViTSpec)


def has_batch_norm(arch: str) -> bool:
    """Whether a layer has batch statistics.

    Raises:
        UserError: the architecture is unknown.
    """
    return any(key.endswith("running_mean") for key in expected_shapes(arch))


def whole_patches(size: Sequence[int], arch: str) -> tuple[int, int]:
    """Height and width, padded to the architecture's patches where it has some.

    Raises:
        UserError: the architecture is unknown.
    """
    patch_size = get(arch).patch_size
    patch = patch_size[0] if patch_size else 1
    height, width = (-(-side // patch) * patch for side in size)
    return height, width


def num_elements(arch: str) -> int:
    """Numbers in all tensors, those of batch statistics included.

    Raises:
        UserError: the architecture is unknown.
    """
    return sum(math.prod(shape) for shape in expected_shapes(arch).values())
