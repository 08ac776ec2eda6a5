"""From a PIL image to the network's input: the center crop of every evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.transforms import v2

from transfer.weights.backbone import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

Transform = Callable[["Image"], Tensor]


@dataclass(frozen=True, kw_only=True)
class CenterCrop:
    """Short side to ``resize`` pixels (bicubic), then the middle ``crop`` × ``crop``; None leaves a step out."""

    resize: int | None
    crop: int | None


def center_crop(size: CenterCrop, preprocessing: Preprocessing) -> Transform:
    """RGB image to (3, H, W) float32, normalised and in the colour order that the backbone was trained with."""
    steps: list[v2.Transform] = []
    if size.resize is not None:
        steps.append(v2.Resize(size.resize, interpolation=v2.InterpolationMode.BICUBIC, antialias=True))
    if size.crop is not None:
        steps.append(v2.CenterCrop(size.crop))
    return v2.Compose([*steps, *to_input(preprocessing)])


def to_input(preprocessing: Preprocessing) -> list[v2.Transform]:
    """The last steps of every transform, training's too."""
    steps: list[v2.Transform] = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    if preprocessing.colour_order != "RGB":
        steps.append(v2.Lambda(lambda image: image.flip(0)))
    return [*steps, v2.Normalize(list(preprocessing.mean), list(preprocessing.std))]
