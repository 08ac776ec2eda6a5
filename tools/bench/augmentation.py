"""Augmentation: the views of photographs, from JPEG files; and how a textbook makes them.

The textbook's are PIL images through torchvision's transforms, one step after another, in the order of the official
code's ``augmentation.py``. Tests compare ``pretrain.data.augment`` with them, too.
"""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable

import cv2
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

import twist_configs.pretrain
from pretrain.data.augment import IMAGENET_MEAN, IMAGENET_STD, NaturalViews
from pretrain.data.images import decode
from pretrain.recipe import Augmentation, Crops
from tools.bench.case import Args, Case
from tools.bench.photographs import jpeg, photograph

NUM_PHOTOGRAPHS = 8  # for each call; what is drawn differs from call to call, and its cost with it
SHAPES = ((375, 500), (500, 375), (333, 500), (375, 500))


def augmentation_cases(args: Args) -> list[Case]:
    """One case: all views of the ``rn50`` recipe."""
    recipe = twist_configs.pretrain.get("rn50")
    files = [jpeg(photograph(seed, *SHAPES[seed % len(SHAPES)])) for seed in range(NUM_PHOTOGRAPHS)]
    ours, textbook = NaturalViews(recipe.crops, recipe.augmentation), textbook_views(recipe.crops, recipe.augmentation)
    seeds = itertools.count()

    def make_ours() -> object:
        cv2.setNumThreads(0)
        return [ours([decode(file)], [next(seeds)]) for file in files]

    def make_textbook() -> object:
        return [textbook(file) for file in files]

    crops = recipe.crops
    what = (
        f"{NUM_PHOTOGRAPHS} JPEG files of about 500 x 375 pixels to 2 views of {crops.global_size} and "
        f"{crops.num_local} of {crops.local_size} pixels each on one core; the textbook's are normalised floats, ours "
        "are bytes, which the training device normalises"
    )
    return [Case("augmentation", what, "s", make_ours, make_textbook, target=3.5, threads=1)]


def textbook_views(crops: Crops, settings: Augmentation) -> Callable[[bytes], list[Tensor]]:
    """What makes all views of an image file: two global ones, then the local ones. Draws from the global generators."""
    global_views = [textbook_view(crops.global_size, crops.global_scale, settings, kind) for kind in (0, 1)]
    local_view = textbook_view(crops.local_size, crops.local_scale, settings, 2)
    views = [*global_views, *[local_view] * crops.num_local]

    def make(content: bytes) -> list[Tensor]:
        with Image.open(io.BytesIO(content)) as file:
            image = file.convert("RGB")
        return [view(image) for view in views]

    return make


def textbook_view(
    size: int, scale: tuple[float, float], settings: Augmentation, kind: int
) -> Callable[[Image.Image], Tensor]:
    """The transform of one view: PIL image to normalised (3, size, size), float32.

    Args:
        kind: 0, 1 or 2 for the first global, the second global or a local view; they differ in blur and solarize.
    """
    jitter = T.ColorJitter(settings.brightness, settings.contrast, settings.saturation, settings.hue)
    blur = T.Lambda(lambda image: image.filter(ImageFilter.GaussianBlur(random.uniform(*settings.blur_sigma))))
    view: Callable[[Image.Image], Tensor] = T.Compose(
        [
            T.RandomResizedCrop(size, scale=scale, interpolation=InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(settings.flip),
            T.RandomApply([jitter], p=settings.jitter),
            T.RandomGrayscale(settings.gray),
            T.RandomApply([blur], p=settings.blur[kind]),
            T.RandomSolarize(threshold=128, p=settings.solarize[kind]),
            T.ToTensor(),
            T.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return view
