"""Views of images. The randomness in an image's views comes only from its seed (:mod:`pretrain.data.seeds`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain.data import draws, ops
from pretrain.data.ops import Array
from pretrain.recipe import Augmentation, Crops, Recipe
from pretrain.schedule import is_self_labeling

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# V batches of views (B, 3, S, S), global views first: levels as uint8, or normalised float32.
Views = list[Tensor]


class NaturalViews:
    """Multi-crop of photographs, one image at a time, in the distribution of torchvision's transforms on PIL images."""

    def __init__(self, crops: Crops, settings: Augmentation) -> None:
        self.settings = settings
        self.sizes, self.scales = crops.view_sizes, crops.view_scales

    def __call__(self, images: Sequence[Array], seeds: Sequence[int]) -> Views:
        """Images (H, W, 3) of uint8, RGB, of any size, to V batches of uint8 views (B, 3, S, S)."""
        views = [np.empty((len(images), size, size, 3), np.uint8) for size in self.sizes]
        for place, (image, seed) in enumerate(zip(images, seeds, strict=True)):
            numbers = draws.draw(seed, len(self.sizes))
            boxes = draws.crop_boxes(numbers, self.scales, *image.shape[:2])
            is_flipped = draws.flips(numbers, self.settings)
            colors = draws.colors(numbers, self.settings)
            for index, size in enumerate(self.sizes):
                view = ops.resized_crop(image, boxes[index], size)
                if is_flipped[index]:
                    view = cv2.flip(view, 1)
                if self.settings.jitter_on == "loader":
                    view = recolored(view, draws.Colors(*(value[index] for value in colors)))
                views[index][place] = view
        return [torch.from_numpy(view).permute(0, 3, 1, 2) for view in views]


def recolored(view: Array, colors: draws.Colors) -> Array:
    """One view (S, S, 3) of uint8 after jitter, grayscale, blur and solarize, in the official order."""
    if colors.is_jittered:
        for adjustment in colors.order:
            view = ADJUSTMENTS[adjustment](view, colors.factors[adjustment])
    if colors.is_gray:
        view = ops.to_gray(view)
    if colors.sigma:
        view = ops.gaussian_blur(view, float(colors.sigma))
    return ops.solarize(view) if colors.is_solarized else view


ADJUSTMENTS: dict[int, Callable[[Array, float], Array]] = {
    draws.BRIGHTNESS: ops.adjust_brightness,
    draws.CONTRAST: ops.adjust_contrast,
    draws.SATURATION: ops.adjust_saturation,
    draws.HUE: ops.adjust_hue,
}


class DigitViews:
    """Crops of grey digits on black: cropped, rotated and scaled in intensity, a whole batch at once.

    A single bilinear resampling of the original crops, rotates and resizes. Pixels outside the image are black.
    """

    def __init__(self, crops: Crops, settings: Augmentation) -> None:
        self.settings = settings
        self.sizes, self.scales = crops.view_sizes, crops.view_scales
        self.mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD).view(3, 1, 1)

    def __call__(self, images: Tensor, seeds: Sequence[int]) -> Views:
        """Images (B, 3, H, W) of uint8 to V batches of normalised views (B, 3, S, S)."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        draws_BVN = torch.stack([torch.rand(len(self.sizes), 5, generator=generator) for generator in generators])
        grey = images.float() / 255
        views = []
        for size, scale, draw in zip(self.sizes, self.scales, draws_BVN.unbind(1), strict=True):
            area, shift_x, shift_y, angle, intensity = draw.unbind(1)
            side = (scale[0] + (scale[1] - scale[0]) * area).sqrt()  # of the crop, in sides of the image
            radians = (2 * angle - 1) * math.radians(self.settings.rotation_degrees)
            cos, sin = side * radians.cos(), side * radians.sin()
            # Coordinates range from -1 to 1: a crop moves within the image, or the image within a larger crop.
            slack = (1 - side).abs()
            shift_x, shift_y = (2 * shift_x - 1) * slack, (2 * shift_y - 1) * slack
            rows = [torch.stack([cos, -sin, shift_x], 1), torch.stack([sin, cos, shift_y], 1)]
            grid = F.affine_grid(torch.stack(rows, 1), [len(grey), 3, size, size], align_corners=False)
            view = F.grid_sample(grey, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            factor = 1 + (2 * intensity - 1) * self.settings.intensity
            views.append(((view * factor.view(-1, 1, 1, 1)).clamp(0, 1) - self.mean) / self.std)
        return views


def build_views(recipe: Recipe, epoch: int) -> NaturalViews | DigitViews:
    """The recipe's views in this epoch: the self-labeling stage has harder crops."""
    crops = recipe.crops
    if is_self_labeling(recipe, epoch):
        stage = recipe.self_labeling
        crops = dataclasses.replace(crops, global_scale=stage.global_scale, local_scale=stage.local_scale)
    if recipe.augmentation.kind == "digits":
        return DigitViews(crops, recipe.augmentation)
    return NaturalViews(crops, recipe.augmentation)
