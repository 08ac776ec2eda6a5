"""Views recolored on the device, against PIL and against the loading processes."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as pil_ops

from pretrain.data import device_augment, draws, ops
from pretrain.data.augment import IMAGENET_STD, NaturalViews, recolored
from pretrain.data.seeds import sample_seed
from pretrain.recipe import Augmentation, Data, Model, Recipe
from tests.views import CROPS, IMAGES, NOISE, PHOTOGRAPH, Array


def as_tensor(image: Array) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def as_image(images: Tensor) -> Array:
    return images[0].permute(1, 2, 0).numpy()


def strength(value: float) -> Tensor:
    return torch.tensor(value).view(1, 1, 1, 1)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_operations_on_the_device_are_within_a_level_of_pil(image: Array) -> None:
    pil, levels = Image.fromarray(image), as_tensor(image)
    pairs = [
        (device_augment.to_gray(levels), pil_ops.to_grayscale(pil, 3)),
        (device_augment.solarize(levels), pil_ops.solarize(pil, 128)),
    ]
    for factor in (0.61, 0.83, 1.0, 1.17, 1.39):
        for name in ("adjust_brightness", "adjust_contrast", "adjust_saturation"):
            adjusted = getattr(device_augment, name)(levels, strength(factor))
            pairs.append((adjusted, getattr(pil_ops, name)(pil, factor)))
    for ours, expected in pairs:
        error = np.abs(as_image(ours) - np.asarray(expected))
        assert error.max() <= 1 and error.mean() < 0.01


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_hue_and_blur_on_the_device_are_the_loaders_but_for_rounding(image: Array) -> None:
    for shift in (-0.1, 0.0, 0.1):
        turned = as_image(device_augment.adjust_hue(as_tensor(image), strength(int(shift * 255) / 255)))
        error = turned - ops.adjust_hue(image, shift)
        assert np.abs(error).max() <= 13 and np.abs(error).mean() < 1.12
    for sigma in (0.1, 0.7, 1.4, 2.0):
        blurred = as_image(device_augment.gaussian_blur(as_tensor(image), strength(sigma)))
        error = np.abs(blurred - ops.gaussian_blur(image, sigma))
        assert error.max() <= 1 and error.mean() < 0.01


@pytest.mark.parametrize("turn", range(7))
def test_hue_turned_on_the_device_goes_round_the_color_circle(turn: int) -> None:
    circle = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]])
    colors = 50.0 + 150 * circle
    turned = device_augment.adjust_hue(colors.T[None, :, None], strength(turn / 6))[0, :, 0].T
    assert torch.equal(turned, colors.roll(-turn, dims=0))
    grays = torch.full((1, 3, 1, 1), 77.0)
    assert torch.equal(device_augment.adjust_hue(grays, strength(turn / 6)), grays)


def recipe(**changes: Any) -> Recipe:
    return Recipe(
        name="views",
        epochs=1,
        data=Data(dataset="none", batch_size=2),
        model=Model(backbone="resnet18"),
        crops=CROPS,
        augmentation=Augmentation(**changes),
    )


def test_views_recolored_on_the_device_are_the_loaders_but_for_rounding() -> None:
    seeds = torch.tensor([sample_seed(1, 2, index) for index in range(48)])
    prepared = []
    for jitter_on in ("loader", "device"):
        settings = recipe(jitter_on=jitter_on)
        views = NaturalViews(CROPS, settings.augmentation)([PHOTOGRAPH] * len(seeds), seeds.tolist())
        prepared.append(device_augment.prepare(views, settings, seeds, torch.device("cpu")))
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    for loader, device in zip(*prepared, strict=True):
        assert device.dtype == torch.float32 and device.is_contiguous(memory_format=torch.channels_last)
        error = (device - loader) * std * 255
        each = error.abs().mean(dim=(1, 2, 3))
        assert each.max() < 1 and each.mean() < 0.3 and error.abs().max() < 13 and abs(error.mean()) < 0.15


def test_prepare_normalises_bytes_and_passes_floats_on() -> None:
    views = [torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 4)]
    seeds = torch.tensor([1, 2])
    ready = device_augment.prepare(views, recipe(), seeds, torch.device("cpu"))[0]
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(ready[0, :, 0, 0], torch.tensor(expected))
    floats = [torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))]
    assert torch.equal(device_augment.prepare(floats, recipe(), seeds, torch.device("cpu"))[0], floats[0])


def test_image_is_recolored_by_its_own_draw_alone() -> None:
    numbers = np.stack([draws.draw(seed, 1) for seed in range(32)])
    colors = draws.colors(numbers, Augmentation(solarize=(0.5, 0.0, 0.0), blur=(0.5, 0.0, 0.0)))
    colors = draws.Colors(*(value[:, 0] for value in colors))
    image = as_tensor(NOISE[:40, :40])
    together = image.repeat(32, 1, 1, 1)
    device_augment.recolor(together, colors)
    for index in range(32):
        alone = image.clone()
        device_augment.recolor(alone, draws.Colors(*(value[index : index + 1] for value in colors)))
        assert torch.equal(together[index], alone[0])
        is_changed = colors.is_jittered[index] or colors.is_gray[index] or colors.is_solarized[index]
        assert torch.equal(alone, image) != bool(is_changed or colors.sigma[index] > 0)
    plain = draws.Colors(*(value[0] for value in colors))._replace(
        is_jittered=np.bool_(False), is_gray=np.bool_(False), is_solarized=np.bool_(False), sigma=np.float64(0)
    )
    assert np.array_equal(recolored(NOISE, plain), NOISE)
