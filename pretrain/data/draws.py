"""The random decisions about views of photographs: torchvision's distributions, drawn for all views at once.

They depend only on the image's seed, so the training device can draw the same colors again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pretrain.data.ops import Array
from pretrain.recipe import NUM_GLOBAL_CROPS, Augmentation

_NUM_ATTEMPTS = 10  # of torchvision's RandomResizedCrop, before it falls back to a center crop
_RATIO = (3 / 4, 4 / 3)  # the smallest and largest aspect ratio of its crops
_AREA = slice(0, _NUM_ATTEMPTS)
_SHAPE = slice(_NUM_ATTEMPTS, 2 * _NUM_ATTEMPTS)
_PLACE = slice(_SHAPE.stop, _SHAPE.stop + 2)
_FACTORS = slice(_PLACE.stop, _PLACE.stop + 4)
_ORDER = slice(_FACTORS.stop, _FACTORS.stop + 4)
_FLIP, _JITTER, _GRAY, _BLUR, _SIGMA, _SOLARIZE = range(_ORDER.stop, _ORDER.stop + 6)
_NUM_DRAWS = _SOLARIZE + 1

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # the four factors of the jitter


class Colors(NamedTuple):
    """How the colors of views are changed; the leading dimensions (...) of each array are those of the views.

    Attributes:
        is_jittered: (...), whether the four adjustments are applied.
        factors: (..., 4), of BRIGHTNESS, CONTRAST, SATURATION (1 changes nothing) and HUE (0 changes nothing).
        order: (..., 4), the adjustments from first to last.
        is_gray, is_solarized: (...).
        sigma: (...), of the blur, in pixels; 0 for none.
    """

    is_jittered: Array
    factors: Array
    order: Array
    is_gray: Array
    sigma: Array
    is_solarized: Array


def draw(seed: int, num_views: int) -> Array:
    """The uniform random numbers (num_views, D) that determine the views of one image."""
    return np.random.Generator(np.random.PCG64(seed)).random((num_views, _NUM_DRAWS))


def crop_boxes(draws: Array, scales: Sequence[tuple[float, float]], height: int, width: int) -> Array:
    """Where each view is cropped: (V, 4) of top, left, height and width, as in torchvision's RandomResizedCrop.

    Args:
        draws: (V, D), from :func:`draw`.
        scales: each view's smallest and largest share of the image's area.
        height, width: of the image.
    """
    low, high = np.array(scales).T[..., None]
    area = height * width * (low + (high - low) * draws[:, _AREA])
    narrow, wide = np.log(_RATIO)
    ratio = np.exp(narrow + (wide - narrow) * draws[:, _SHAPE])
    widths, heights = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    view, first = np.arange(len(draws)), fits.argmax(1)
    sizes = np.stack([heights[view, first], widths[view, first]], 1)
    places = np.floor(draws[:, _PLACE] * ([height + 1, width + 1] - sizes))
    boxes = np.concatenate([places, sizes], 1)
    # If no attempt fits: the largest box at the center of the image whose aspect ratio is in range.
    box_height, box_width = min(height, round(width / _RATIO[0])), min(width, round(height * _RATIO[1]))
    boxes[~fits.any(1)] = (height - box_height) // 2, (width - box_width) // 2, box_height, box_width
    return boxes.astype(np.int64)


def flips(draws: Array, settings: Augmentation) -> Array:
    """Which views are flipped: (V,)."""
    return draws[:, _FLIP] < settings.flip


def colors(draws: Array, settings: Augmentation) -> Colors:
    """How the colors are changed: torchvision's ColorJitter, RandomGrayscale and RandomSolarize, and the blur.

    Args:
        draws: (..., V, D), from :func:`draw`; the global views come first.
    """
    kinds = np.minimum(np.arange(draws.shape[-2]), NUM_GLOBAL_CROPS)  # first global, second global, local ones
    reach = np.array([settings.brightness, settings.contrast, settings.saturation, settings.hue])
    middle = np.array([1.0, 1.0, 1.0, 0.0])
    lowest = np.maximum(middle - reach, [0.0, 0.0, 0.0, -0.5])
    low, high = settings.blur_sigma
    is_blurred = draws[..., _BLUR] < np.array(settings.blur)[kinds]
    return Colors(
        is_jittered=draws[..., _JITTER] < settings.jitter,
        factors=lowest + (middle + reach - lowest) * draws[..., _FACTORS],
        order=draws[..., _ORDER].argsort(-1),
        is_gray=draws[..., _GRAY] < settings.gray,
        sigma=np.where(is_blurred, low + (high - low) * draws[..., _SIGMA], 0.0),
        is_solarized=draws[..., _SOLARIZE] < np.array(settings.solarize)[kinds],
    )
