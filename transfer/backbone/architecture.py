"""The plain ResNets: which tensors they hold, and which of them a set of tensors is. Pure functions, no torch."""

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
    """Depth, kind of block and number of blocks in layer1 to layer4 (He et al. 2016, table 1)."""

    depth: int
    block: Literal["basic", "bottleneck"]
    num_blocks: tuple[int, int, int, int]

    @property
    def expansion(self) -> int:
        return 4 if self.block == "bottleneck" else 1


RESNETS: dict[str, ResNetSpec] = {
    "resnet18": ResNetSpec(18, "basic", (2, 2, 2, 2)),
    "resnet34": ResNetSpec(34, "basic", (3, 4, 6, 3)),
    "resnet50": ResNetSpec(50, "bottleneck", (3, 4, 6, 3)),
    "resnet101": ResNetSpec(101, "bottleneck", (3, 4, 23, 3)),
}


def get(arch: str) -> ResNetSpec:
    """The architecture of this name.

    Raises:
        UserError: there is none.
    """
    if arch not in RESNETS:
        raise unknown_name("architecture", arch, RESNETS)
    return RESNETS[arch]


def expected_shapes(arch: str) -> dict[str, Shape]:
    """Every key of torchvision's state dict without ``fc``, in its order, with the tensor's shape.

    Raises:
        UserError: the architecture is unknown.
    """
    spec = get(arch)
    shapes: dict[str, Shape] = {"conv1.weight": (64, 3, 7, 7), **_batch_norm("bn1", 64)}
    in_channels = 64
    for layer, num_blocks in enumerate(spec.num_blocks, start=1):
        width = 64 * 2 ** (layer - 1)
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
        shapes: torchvision key to tensor shape.
        where: the file, for the message.

    Raises:
        UserError: the keys are those of no known ResNet.
    """
    if "conv1.weight" not in shapes or "layer1.0.conv1.weight" not in shapes:
        raise UserError(
            f"{where} is no ResNet (its keys begin with {', '.join(list(shapes)[:4])}): "
            f"convert a checkpoint of one of {', '.join(RESNETS)}"
        )
    blocks = {match.groups() for key in shapes if (match := re.match(r"layer([1-4])\.(\d+)\.", key))}
    counts = tuple(sum(layer == str(wanted) for layer, _ in blocks) for wanted in range(1, 5))
    kind = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    for arch, spec in RESNETS.items():
        if (spec.block, spec.num_blocks) == (kind, counts):
            return arch
    raise UserError(
        f"{where} holds {'-'.join(map(str, counts))} {kind} blocks in layer1 to layer4, which is none of "
        f"{', '.join(RESNETS)}: convert a checkpoint of one of these"
    )
