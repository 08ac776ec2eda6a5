"""Prepares a step's views for the network: moves them to the device, recolors them there if required, normalises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain.constants import constant
from pretrain.data import draws
from pretrain.data.augment import IMAGENET_MEAN, IMAGENET_STD, Views
from pretrain.data.ops import Array, blur_kernel
from pretrain.recipe import Recipe

_GRAY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R 601, as PIL


def prepare(views: Views, recipe: Recipe, seeds: Tensor, device: torch.device) -> Views:
    """The views as input of the network: on ``device``, normalised float32 (B, 3, S, S), channels last.

    Args:
        views: V batches (B, 3, S, S) of uint8, or already normalised, which are only moved.
        seeds: (B,), from which the views were drawn, and with ``augmentation.jitter_on=device`` also their colors.
    """
    colors = None
    if recipe.augmentation.kind == "natural" and recipe.augmentation.jitter_on == "device":
        numbers = np.stack([draws.draw(seed, len(views)) for seed in seeds.tolist()])
        colors = draws.colors(numbers, recipe.augmentation)
    mean, std = (constant(values, device).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    ready = []
    for index, view in enumerate(views):
        view = view.to(device, non_blocking=True, memory_format=torch.channels_last)
        if not view.is_floating_point():
            view = view.float()
            if colors is not None:
                recolor(view, draws.Colors(*(value[:, index] for value in colors)))
            view = view.div_(255).sub_(mean).div_(std)
        ready.append(view)
    return ready


def recolor(images: Tensor, colors: draws.Colors) -> None:
    """Applies jitter, grayscale, blur and solarize in the official order to a batch (B, 3, H, W), in place.

    Levels are floats, but whole numbers after every operation, as in PIL. The result is within a level or two of
    :func:`pretrain.data.augment.recolored`, or within a few more after a hue shift, for which that function uses 8-bit
    hues and saturations.

    Args:
        images: levels 0 to 255.
        colors: arrays whose first dimension is B.
    """
    for place in range(colors.order.shape[-1]):
        for adjustment, adjust in ADJUSTMENTS.items():
            chosen = colors.is_jittered & (colors.order[:, place] == adjustment)
            _change(images, chosen, adjust, colors.factors[:, adjustment])
    _change(images, colors.is_gray, to_gray)
    _change(images, colors.sigma > 0, gaussian_blur, colors.sigma, is_on_host=True)
    _change(images, colors.is_solarized, solarize)


def _change(
    images: Tensor,
    is_chosen: Array,
    change: Callable[..., Tensor],
    strengths: Array | None = None,
    *,
    is_on_host: bool = False,
) -> None:
    """Replaces each chosen image of the batch by ``change(image)`` or ``change(image, strength)``.

    Args:
        is_on_host: leave the strengths on the host, for a change that first computes something from them there.
    """
    chosen = torch.from_numpy(np.flatnonzero(is_chosen))
    if len(chosen) == 0:
        return
    where = chosen.to(images.device, non_blocking=True)
    if strengths is None:
        images[where] = change(images[where])
    else:
        strength = torch.from_numpy(strengths)[chosen].to(images.dtype).view(-1, 1, 1, 1)
        if not is_on_host:
            strength = strength.to(images.device, non_blocking=True)
        images[where] = change(images[where], strength)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Multiplies each image by its factor (B, 1, 1, 1)."""
    return _whole(images * factors)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Multiplies each image's difference from its mean gray level by its factor (B, 1, 1, 1)."""
    return _whole(torch.lerp(_gray(images).mean(dim=(2, 3), keepdim=True).round(), images, factors))


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Multiplies each pixel's difference from its gray level by the image's factor (B, 1, 1, 1)."""
    return _whole(torch.lerp(to_gray(images), images, factors))


def adjust_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Shifts each image's hue by its share (B, 1, 1, 1) of a full circle."""
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    scale = chroma.clamp_min(1)  # gray has chroma 0, and then no hue
    from_green, from_blue = 2 + (blue - red) / scale, 4 + (red - green) / scale
    hue = torch.where(value == red, (green - blue) / scale, torch.where(value == green, from_green, from_blue))
    # In sixths of the circle. Each channel equals the value over one third of it, and value - chroma over another.
    starts = constant([5, 3, 1], images.device).view(3, 1, 1)
    place = torch.remainder(starts + hue + 6 * shifts, 6)
    return (value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)).round_()


def to_gray(images: Tensor) -> Tensor:
    """ITU-R 601 grayscale in three channels."""
    return _gray(images).round_().expand_as(images)


def gaussian_blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blurs each image with its sigma (B, 1, 1, 1, on the host) in pixels; edges are repeated outwards."""
    values = sigmas.flatten().tolist()
    num_taps = len(blur_kernel(max(values)))
    kernels = torch.from_numpy(np.stack([blur_kernel(sigma, num_taps) for sigma in values]))
    kernels = kernels.to(images.dtype).to(images.device, non_blocking=True)
    batch, channels, height, width = images.shape
    taps = kernels.repeat_interleave(channels, dim=0)
    reach = num_taps // 2
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate").reshape(
        1, batch * channels, -1, width + 2 * reach
    )
    rows = F.conv2d(padded, taps[:, None, None, :], groups=batch * channels)
    blurred = F.conv2d(rows, taps[:, None, :, None], groups=batch * channels)
    return blurred.view(batch, channels, height, width).round_()


def solarize(images: Tensor) -> Tensor:
    """Inverts levels from 128 up."""
    return torch.where(images < 128, images, 255 - images)


def _gray(images: Tensor) -> Tensor:
    """Gray levels (B, 1, H, W)."""
    weights = constant(_GRAY_WEIGHTS, images.device, images.dtype).view(3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _whole(levels: Tensor) -> Tensor:
    """Levels truncated to whole numbers, as in PIL."""
    return levels.clamp_(0, 255).floor_()


ADJUSTMENTS: dict[int, Callable[[Tensor, Tensor], Tensor]] = {
    draws.BRIGHTNESS: adjust_brightness,
    draws.CONTRAST: adjust_contrast,
    draws.SATURATION: adjust_saturation,
    draws.HUE: adjust_hue,
}
