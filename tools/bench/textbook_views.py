"""Views of a photograph as a textbook makes them: PIL images through torchvision's transforms, one step after another.

Written for clarity; it is what ``pretrain.data.augment`` is measured and tested against. The steps and their order
are the official code's ``augmentation.py``.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image, ImageFilter
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from pretrain.data.augment import IMAGENET_MEAN, IMAGENET_STD
from pretrain.recipe import Augmentation, Crops

View = Callable[[Image.Image], Tensor]


class GaussianBlur:
    """Blurs by a sigma drawn from a range of pixels."""

    def __init__(self, sigma: tuple[float, float]) -> None:
        self.sigma = sigma

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(*self.sigma)))


def textbook_view(size: int, scale: tuple[float, float], settings: Augmentation, kind: int) -> View:
    """The transform of one view: PIL image to normalised (3, size, size), float32.

    Args:
        kind: 0, 1 or 2 for the first global, the second global or a local view; they differ in blur and solarize.
    """
    jitter = T.ColorJitter(settings.brightness, settings.contrast, settings.saturation, settings.hue)
    steps = [
        T.RandomResizedCrop(size, scale=scale, interpolation=InterpolationMode.BICUBIC),
        T.RandomHorizontalFlip(settings.flip),
        T.RandomApply([jitter], p=settings.jitter),
        T.RandomGrayscale(settings.gray),
        T.RandomApply([GaussianBlur(settings.blur_sigma)], p=settings.blur[kind]),
        T.RandomSolarize(threshold=128, p=settings.solarize[kind]),
        T.ToTensor(),
        T.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
    view: View = T.Compose(steps)
    return view


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
