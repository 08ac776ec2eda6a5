"""The architectures: which tensors they hold, and which of them a set of tensors is. Pure functions, no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from common.errors import UserError, unknown_name

Shape = tuple[int, ...]

COUNTER = "num_batches_tracked"  # BatchNorm's count of training batches; torch has saved it since 0.4.1


@dataclass(frozen=True)
class ResNetSpec:
    """Depth, kind of block and number of blocks in layer1 to layer4 (He et al. 2016, table 1).

    Attributes:
        widen: factor of every width, stem included (SimCLR's ResNet-50 2x); torchvision's ``wide_resnet`` is another.
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
    def stem_channels(self) -> int:
        return 64 * self.widen

    @property
    def expansion(self) -> int:
        return 4 if self.block == "bottleneck" else 1


RESNETS: dict[str, ResNetSpec] = {
    "resnet18": ResNetSpec(18, "basic", (2, 2, 2, 2)),
    "resnet34": ResNetSpec(34, "basic", (3, 4, 6, 3)),
    "resnet50": ResNetSpec(50, "bottleneck", (3, 4, 6, 3)),
    "resnet101": ResNetSpec(101, "bottleneck", (3, 4, 23, 3)),
    "resnet50w2": ResNetSpec(50, "bottleneck", (3, 4, 6, 3), widen=2),
}


@dataclass(frozen=True)
class ViTSpec:
    """A vision transformer with patches of 16 px, made for images of 224 px, with a class token.

    Attributes:
        width: of the tokens; the MLPs are four times as wide.
        num_heads: of each attention. No tensor's shape tells it.
        depth: blocks.
    """

    width: int
    num_heads: int
    depth: int = 12

    @property
    def stages(self) -> tuple[str, ...]:
        """The patch tokens after each quarter of the blocks, as :mod:`pretrain.model` names them."""
        return tuple(f"block{round(quarter * self.depth / 4)}" for quarter in (1, 2, 3, 4))


PATCH_SIZE = 16
IMAGE_SIZE = 224

VITS: dict[str, ViTSpec] = {
    "deit_small": ViTSpec(384, 6),  # Touvron et al. 2021, table 1
    "vit_base": ViTSpec(768, 12),  # Dosovitskiy et al. 2021, table 1
}


def names() -> list[str]:
    """Every architecture that is known."""
    return [*RESNETS, *VITS]


def get(arch: str) -> ResNetSpec | ViTSpec:
    """The architecture of this name.

    Raises:
        UserError: there is none.
    """
    if arch in RESNETS:
        return RESNETS[arch]
    if arch in VITS:
        return VITS[arch]
    raise unknown_name("architecture", arch, names())


def expected_shapes(arch: str) -> dict[str, Shape]:
    """Every key of torchvision's (ResNets) or timm's (ViTs) state dict, in its order, with its shape; no classifier.

    Raises:
        UserError: the architecture is unknown.
    """
    spec = get(arch)
    return _resnet_shapes(spec) if isinstance(spec, ResNetSpec) else _vit_shapes(spec)


def _vit_shapes(spec: ViTSpec) -> dict[str, Shape]:
    width, num_tokens = spec.width, (IMAGE_SIZE // PATCH_SIZE) ** 2 + 1
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
    for block in range(spec.depth):
        for layer, shape in layers.items():
            shapes |= {f"blocks.{block}.{layer}.weight": shape, f"blocks.{block}.{layer}.bias": shape[:1]}
    return shapes | {"norm.weight": (width,), "norm.bias": (width,)}


def _resnet_shapes(spec: ResNetSpec) -> dict[str, Shape]:
    in_channels = spec.stem_channels
    shapes: dict[str, Shape] = {"conv1.weight": (in_channels, 3, 7, 7), **_batch_norm("bn1", in_channels)}
    for layer, num_blocks in enumerate(spec.num_blocks, start=1):
        width = spec.stem_channels * 2 ** (layer - 1)
        for block in range(num_blocks):
            prefix = f"layer{layer}.{block}"
            shapes |= _block(prefix, spec, in_channels, width)
            if block == 0 and (layer > 1 or in_channels != width * spec.expansion):
                shapes |= _downsample(prefix, in_channels, width * spec.expansion)
            in_channels = width * spec.expansion
    return shapes


def _block(prefix: str, spec: ResNetSpec, in_channels: int, width: int) -> dict[str, Shape]:
    if spec.block == "basic":
        convs = [(in_channels, width, 3), (width, width, 3)]
    else:
        convs = [(in_channels, width, 1), (width, width, 3), (width, width * spec.expansion, 1)]
    shapes: dict[str, Shape] = {}
    for index, (fan_in, fan_out, kernel) in enumerate(convs, start=1):
        shapes[f"{prefix}.conv{index}.weight"] = (fan_out, fan_in, kernel, kernel)
        shapes |= _batch_norm(f"{prefix}.bn{index}", fan_out)
    return shapes


def _downsample(prefix: str, in_channels: int, out_channels: int) -> dict[str, Shape]:
    conv: dict[str, Shape] = {f"{prefix}.downsample.0.weight": (out_channels, in_channels, 1, 1)}
    return conv | _batch_norm(f"{prefix}.downsample.1", out_channels)


def _batch_norm(prefix: str, channels: int) -> dict[str, Shape]:
    vectors: dict[str, Shape] = {
        f"{prefix}.{name}": (channels,) for name in ("weight", "bias", "running_mean", "running_var")
    }
    return vectors | {f"{prefix}.{COUNTER}": ()}


def infer_arch(shapes: Mapping[str, Shape], where: str) -> str:
    """The architecture whose blocks these keys name; the shapes are checked by the caller, key by key.

    Args:
        shapes: torchvision's or timm's key to tensor shape.
        where: the file, for the message.

    Raises:
        UserError: the keys are those of no known architecture.
    """
    if {"cls_token", "patch_embed.proj.weight"} <= shapes.keys():
        return _infer_vit(shapes, where)
    if {"conv1.weight", "layer1.0.conv1.weight"} <= shapes.keys():
        return _infer_resnet(shapes, where)
    raise UserError(
        f"{where} is neither a ResNet nor a ViT (its keys begin with {', '.join(list(shapes)[:4])}): "
        f"convert a checkpoint of one of {', '.join(names())}"
    )


def _infer_vit(shapes: Mapping[str, Shape], where: str) -> str:
    width = shapes["cls_token"][-1] if shapes["cls_token"] else 0
    depth = len({match[1] for key in shapes if (match := re.match(r"blocks\.(\d+)\.", key))})
    for arch, spec in VITS.items():
        if (spec.width, spec.depth) == (width, depth):
            return arch
    raise UserError(
        f"{where} holds a ViT of {depth} blocks and width {width}, which is none of {', '.join(VITS)}: "
        f"convert a checkpoint of one of these"
    )


def _infer_resnet(shapes: Mapping[str, Shape], where: str) -> str:
    blocks = {match.groups() for key in shapes if (match := re.match(r"layer([1-4])\.(\d+)\.", key))}
    counts = tuple(sum(layer == str(wanted) for layer, _ in blocks) for wanted in range(1, 5))
    kind = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    same_blocks = {arch: spec for arch, spec in RESNETS.items() if (spec.block, spec.num_blocks) == (kind, counts)}
    for arch, spec in same_blocks.items():
        if shapes["conv1.weight"][:1] == (spec.stem_channels,):
            return arch
    if same_blocks:
        return next(iter(same_blocks))  # its shapes tell the caller what is wrong
    raise UserError(
        f"{where} holds {'-'.join(map(str, counts))} {kind} blocks in layer1 to layer4, which is none of "
        f"{', '.join(RESNETS)}: convert a checkpoint of one of these"
    )
