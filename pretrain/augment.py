"""Views of an image. All randomness of an image's views comes from (seed, epoch, index), so that they are the same
whatever process makes them and wherever a run was interrupted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchvision.transforms import v2

from pretrain.recipe import NUM_GLOBAL_CROPS, Augmentation, Crops, Recipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Views = list[Tensor]  # V tensors (3, H, W) of one image, or (B, 3, H, W) of a batch; global views first


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A 63-bit seed for the views of one image in one epoch; nearby inputs give unrelated seeds."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class GaussianBlur(nn.Module):
    """Blurs a PIL image by a sigma drawn from a range of pixels."""

    def __init__(self, sigma: tuple[float, float]) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, image: Image.Image) -> Image.Image:
        low, high = self.sigma
        sigma = low + (high - low) * torch.rand(()).item()
        return image.filter(ImageFilter.GaussianBlur(radius=sigma))


def natural_view(
    size: int, scale: tuple[float, float], settings: Augmentation, kind: int
) -> Callable[[Image.Image], Tensor]:
    """The transform that makes one view of a photograph: PIL image to normalised (3, size, size).

    Args:
        kind: 0, 1 or 2 for the first global, the second global or a local view; they differ in blur and solarize.
    """
    jitter = v2.ColorJitter(settings.brightness, settings.contrast, settings.saturation, settings.hue)
    steps = [
        v2.RandomResizedCrop(size, scale=scale, interpolation=v2.InterpolationMode.BICUBIC),
        v2.RandomHorizontalFlip(settings.flip),
        v2.RandomApply([jitter], p=settings.jitter),
        v2.RandomGrayscale(settings.gray),
        v2.RandomApply([GaussianBlur(settings.blur_sigma)], p=settings.blur[kind]),
        v2.RandomSolarize(threshold=128, p=settings.solarize[kind]),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
    return v2.Compose(steps)


class NaturalViews:
    """Multi-crop of photographs, one image at a time."""

    def __init__(self, crops: Crops, settings: Augmentation) -> None:
        local = natural_view(crops.local_size, crops.local_scale, settings, 2)
        self.transforms = [
            *(natural_view(crops.global_size, crops.global_scale, settings, kind) for kind in (0, 1)),
            *[local] * crops.num_local,
        ]

    def __call__(self, images: Sequence[Image.Image], seeds: Sequence[int]) -> Views:
        """Images (RGB, any size) to V batches of views (B, 3, H, W)."""
        views = [self._views(image, seed) for image, seed in zip(images, seeds, strict=True)]
        return [torch.stack(same) for same in zip(*views, strict=True)]

    def _views(self, image: Image.Image, seed: int) -> Views:
        # torchvision's transforms draw from torch's global generator; the training process has its own use for it.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return [transform(image) for transform in self.transforms]


class DigitViews:
    """Crops of grey digits on black: cropped, rotated and scaled in intensity, a whole batch at once.

    One bilinear resampling of the original does crop, rotation and resizing. What falls outside is black.
    """

    def __init__(self, crops: Crops, settings: Augmentation) -> None:
        self.settings = settings
        self.sizes = [crops.global_size] * NUM_GLOBAL_CROPS + [crops.local_size] * crops.num_local
        self.scales = [crops.global_scale] * NUM_GLOBAL_CROPS + [crops.local_scale] * crops.num_local
        self.mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD).view(3, 1, 1)

    def __call__(self, images: Tensor, seeds: Sequence[int]) -> Views:
        """Images (B, 3, H, W) of uint8 to V batches of views (B, 3, S, S)."""
        draws = torch.stack([self._draw(seed) for seed in seeds])
        grey = images.float() / 255
        views = zip(self.sizes, self.scales, draws.unbind(1), strict=True)
        return [self._view(grey, size, scale, draw) for size, scale, draw in views]

    def _draw(self, seed: int) -> Tensor:
        """Five uniform numbers for each view of one image."""
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(len(self.sizes), 5, generator=generator)

    def _view(self, images: Tensor, size: int, scale: tuple[float, float], draw: Tensor) -> Tensor:
        area, shift_x, shift_y, angle, intensity = draw.unbind(1)
        side = (scale[0] + (scale[1] - scale[0]) * area).sqrt()  # of the crop, in sides of the image
        radians = (2 * angle - 1) * math.radians(self.settings.rotation_degrees)
        cos, sin = side * radians.cos(), side * radians.sin()
        # Coordinates run from -1 to 1: a crop moves within the image, and an image within a larger crop.
        slack = (1 - side).abs()
        shift_x, shift_y = (2 * shift_x - 1) * slack, (2 * shift_y - 1) * slack
        rows = [torch.stack([cos, -sin, shift_x], 1), torch.stack([sin, cos, shift_y], 1)]
        grid = F.affine_grid(torch.stack(rows, 1), [len(images), 3, size, size], align_corners=False)
        view = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        factor = 1 + (2 * intensity - 1) * self.settings.intensity
        return ((view * factor.view(-1, 1, 1, 1)).clamp(0, 1) - self.mean) / self.std


def build_views(recipe: Recipe) -> NaturalViews | DigitViews:
    """The recipe's views."""
    if recipe.augmentation.kind == "digits":
        return DigitViews(recipe.crops, recipe.augmentation)
    return NaturalViews(recipe.crops, recipe.augmentation)
