"""Views of photographs against the plain PIL pipeline: operations one by one, what is drawn, and what comes out."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy import stats
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional as pil_ops

from pretrain.data import draws, ops
from pretrain.data.augment import IMAGENET_MEAN, IMAGENET_STD, NaturalViews, recolored
from pretrain.data.images import decode
from pretrain.data.seeds import sample_seed
from pretrain.recipe import Augmentation
from tests.views import CROPS, IMAGES, PHOTOGRAPH, Array
from tools.bench.augmentation import textbook_views
from tools.bench.photographs import jpeg

NUM_SEEDS = 4000
LEAST_P = 1e-3  # the seeds are fixed: a test of a right distribution passes always, or never did


def difference(ours: Array, pil: Image.Image) -> Array:
    assert ours.dtype == np.uint8
    return ours.astype(int) - np.asarray(pil).astype(int)


# ---- single operations ------------------------------------------------------------------------------


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_brightness_contrast_and_solarize_are_pils(image: Array) -> None:
    pil = Image.fromarray(image)
    for factor in (0.6, 0.83, 1.0, 1.17, 1.4):
        assert not difference(ops.adjust_brightness(image, factor), pil_ops.adjust_brightness(pil, factor)).any()
        assert not difference(ops.adjust_contrast(image, factor), pil_ops.adjust_contrast(pil, factor)).any()
    assert not difference(ops.solarize(image), pil_ops.solarize(pil, 128)).any()


def test_contrast_is_within_a_level_of_pil_where_the_mean_is_next_to_a_half() -> None:
    largest = 0
    for level in range(256):  # half of the pixels are one level brighter
        image = np.full((8, 8, 3), level, np.uint8)
        image[:4] = min(level + 1, 255)
        error = difference(ops.adjust_contrast(image, 0.6), pil_ops.adjust_contrast(Image.fromarray(image), 0.6))
        largest = max(largest, np.abs(error).max())
    assert largest <= 1


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_saturation_and_gray_are_within_a_level_of_pil(image: Array) -> None:
    pil = Image.fromarray(image)
    errors = [difference(ops.to_gray(image), pil_ops.to_grayscale(pil, 3))]
    for factor in (0.8, 0.93, 1.0, 1.13, 1.2):
        errors.append(difference(ops.adjust_saturation(image, factor), pil_ops.adjust_saturation(pil, factor)))
    for error in errors:
        assert np.abs(error).max() <= 1 and np.abs(error).mean() < 0.015
    assert not (ops.adjust_saturation(image, 1.0) != image).any()


@pytest.mark.parametrize(("name", "largest", "mean"), [("photograph", 9, 0.5), ("noise", 13, 1.12)])
def test_hue_is_as_near_to_pil_as_two_roundings_to_8_bits(name: str, largest: int, mean: float) -> None:
    image = IMAGES[name]
    for shift in (-0.1, -0.04, 0.0, 0.03, 0.1):
        error = difference(ops.adjust_hue(image, shift), pil_ops.adjust_hue(Image.fromarray(image), shift))
        assert np.abs(error).max() <= largest and np.abs(error).mean() < mean and abs(error.mean()) < 0.25


@pytest.mark.parametrize(("name", "at_the_border", "mean"), [("photograph", 9, 0.85), ("noise", 22, 1.02)])
def test_blur_is_pils_without_its_roundings_and_but_for_the_border(name: str, at_the_border: int, mean: float) -> None:
    image = IMAGES[name]
    for sigma in (0.1, 0.3, 0.7, 1.0, 1.4, 2.0):
        blurred = ops.gaussian_blur(image, sigma)
        error = np.abs(difference(blurred, Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma))))
        assert error[6:-6, 6:-6].max() <= 3 and error[6:-6, 6:-6].mean() < mean
        assert error.max() <= at_the_border


def test_blur_kernel_has_the_variance_of_the_gaussian() -> None:
    for sigma in (0.1, 0.5, 1.0, 1.5, 2.0):
        kernel = ops.blur_kernel(sigma, 13).astype(float)
        assert kernel.sum() == pytest.approx(1, abs=1e-6) and (kernel == kernel[::-1]).all()
        assert (kernel * (np.arange(13) - 6) ** 2).sum() == pytest.approx(sigma**2, rel=1e-4)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_resized_crop_is_pils_with_rows_or_columns_first(image: Array) -> None:
    """Pillow 13 begins with the columns where a crop shrinks more in height; the image in between is 8-bit."""
    num_turned = 0
    for seed in range(100):
        box = draws.crop_boxes(draws.draw(seed, 1), [(0.05, 1.0)], *image.shape[:2])[0]
        top, left, height, width = box.tolist()
        size = (24, 96, 160)[seed % 3]
        crop = Image.fromarray(image).crop((left, top, left + width, top + height))
        pil = crop.resize((size, size), Image.Resampling.BICUBIC)
        ours = ops.resized_crop(image, box, size)
        assert ours.shape == (size, size, 3) and ours.flags.c_contiguous
        error = np.abs(difference(ours, pil))
        if error.max() > 2:
            num_turned += 1
            assert height > width and height > size
            assert error.mean() < 0.4 and error.max() <= (4 if image is PHOTOGRAPH else 19)
            turned = ops.resized_crop(np.ascontiguousarray(image.swapaxes(0, 1)), box[[1, 0, 3, 2]], size)
            error = np.abs(difference(turned.swapaxes(0, 1), pil))
        assert error.max() <= 2 and error.mean() < 0.01
    assert num_turned < 50


# ---- what is drawn ----------------------------------------------------------------------------------


def all_draws(num_views: int = 4) -> Array:
    return np.stack([draws.draw(sample_seed(0, 0, index), num_views) for index in range(NUM_SEEDS)])


def assert_one_distribution(ours: Array, torchvisions: Array) -> None:
    assert stats.ks_2samp(ours, torchvisions).pvalue > LEAST_P


@pytest.mark.parametrize("scale", [(0.4, 1.0), (0.05, 0.4), (0.08, 1.0), (0.14, 1.0)])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (90, 400), (500, 333)])
def test_crops_are_distributed_as_torchvisions(scale: tuple[float, float], height: int, width: int) -> None:
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    boxes = [transforms.RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(NUM_SEEDS)]
    theirs = np.array(boxes, float).T
    ours = np.array([draws.crop_boxes(numbers, [scale], height, width)[0] for numbers in all_draws(1)], float).T
    (top, left, heights, widths) = ours
    assert (top >= 0).all() and (left >= 0).all() and (heights >= 1).all() and (widths >= 1).all()
    assert (top + heights <= height).all() and (left + widths <= width).all()
    assert_one_distribution(heights * widths, theirs[2] * theirs[3])
    assert_one_distribution(widths / heights, theirs[3] / theirs[2])
    for place, size in ((0, 2), (1, 3)):
        assert_one_distribution(ours[place], theirs[place])
        assert_one_distribution(ours[place] + ours[size] / 2, theirs[place] + theirs[size] / 2)


def test_crop_that_never_fits_is_torchvisions_middle() -> None:
    for height, width in [(40, 400), (400, 40), (3, 200)]:
        theirs = transforms.RandomResizedCrop.get_params(torch.empty(3, height, width), [0.9, 1.0], [3 / 4, 4 / 3])
        assert tuple(draws.crop_boxes(draws.draw(0, 1), [(0.9, 1.0)], height, width)[0].tolist()) == tuple(theirs)


def test_jitter_is_distributed_as_torchvisions() -> None:
    settings = Augmentation()
    ours = draws.colors(all_draws(1), settings)
    torch.manual_seed(0)
    limits = ([0.6, 1.4], [0.6, 1.4], [0.8, 1.2], [-0.1, 0.1])
    theirs = [transforms.ColorJitter.get_params(*limits) for _ in range(NUM_SEEDS)]
    for adjustment in range(4):
        assert_one_distribution(ours.factors[:, 0, adjustment], np.array([draw[1 + adjustment] for draw in theirs]))
    orders = np.unique(ours.order[:, 0], axis=0, return_counts=True)[1]
    assert len(orders) == math.factorial(4) and stats.chisquare(orders).pvalue > LEAST_P
    low, high = settings.blur_sigma
    sigmas = ours.sigma[:, 0]  # the first global view is always blurred
    assert stats.kstest(sigmas, "uniform", (low, high - low)).pvalue > LEAST_P


def test_flip_jitter_gray_blur_and_solarize_are_as_likely_as_the_recipe_says() -> None:
    numbers, settings = all_draws(4), Augmentation()
    colors = draws.colors(numbers, settings)
    flips = np.stack([draws.flips(views, settings) for views in numbers])
    wanted = {
        "flip": (flips, [0.5] * 4),
        "jitter": (colors.is_jittered, [0.8] * 4),
        "gray": (colors.is_gray, [0.2] * 4),
        "blur": (colors.sigma > 0, [1.0, 0.1, 0.5, 0.5]),
        "solarize": (colors.is_solarized, [0.0, 0.2, 0.0, 0.0]),
    }
    for name, (happens, shares) in wanted.items():
        for view, share in enumerate(shares):
            count = int(happens[:, view].sum())
            assert stats.binomtest(count, NUM_SEEDS, share).pvalue > LEAST_P, (name, view)


def test_no_draw_decides_about_another() -> None:
    settings = Augmentation(blur=(0.5, 0.5, 0.5), solarize=(0.5, 0.5, 0.5))
    colors = draws.colors(all_draws(3), settings)
    values = [
        colors.is_jittered,
        colors.is_gray,
        colors.sigma > 0,
        colors.is_solarized,
        *colors.factors.transpose(2, 0, 1),
    ]
    values += [np.stack([draws.flips(views, settings) for views in all_draws(3)]), colors.order[..., 0]]
    columns = np.concatenate(values, axis=1)
    correlations = stats.spearmanr(columns).statistic - np.eye(columns.shape[1])
    assert np.abs(correlations).max() < 4.5 / math.sqrt(NUM_SEEDS)  # standard deviations of chance
    for view in range(3):
        sigmas = colors.sigma[:, view][colors.sigma[:, view] > 0]
        assert stats.kstest(sigmas, "uniform", (0.1, 1.9)).pvalue > LEAST_P


# ---- what comes out ---------------------------------------------------------------------------------


def test_views_are_distributed_as_the_textbooks() -> None:
    """Each view's mean, contrast and sharpness, over many draws: the whole pipeline, order included."""
    torch.manual_seed(0)
    file, settings, count = jpeg(PHOTOGRAPH), Augmentation(), 400
    make = textbook_views(CROPS, settings)
    theirs = [make(file) for _ in range(count)]
    views = NaturalViews(CROPS, settings)([decode(file)] * count, [sample_seed(0, 0, i) for i in range(count)])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    for index, ours in enumerate(views):
        assert ours.dtype == torch.uint8 and ours.is_contiguous(memory_format=torch.channels_last)
        textbooks = ((torch.stack([view[index] for view in theirs]) * std + mean) * 255).round()
        for statistic in (brightness, contrast, sharpness, colorfulness):
            assert_one_distribution(statistic(ours.float()).numpy(), statistic(textbooks).numpy())


def test_recolored_view_is_pils_operations_in_the_official_order() -> None:
    numbers = np.stack([draws.draw(seed, 1) for seed in range(64)])
    colors = draws.colors(numbers, Augmentation(gray=0.3, blur=(0.5, 0, 0), solarize=(0.5, 0, 0)))
    assert (colors.is_gray & (colors.sigma > 1) & colors.is_solarized)[:, 0].any()
    for seed in range(64):
        view = draws.Colors(*(value[seed, 0] for value in colors))
        error = difference(recolored(PHOTOGRAPH, view), recolored_by_pil(Image.fromarray(PHOTOGRAPH), view))
        assert np.abs(error[6:-6, 6:-6]).mean() < 1.5, view


def recolored_by_pil(image: Image.Image, colors: draws.Colors) -> Image.Image:
    adjust = [
        pil_ops.adjust_brightness,
        pil_ops.adjust_contrast,
        pil_ops.adjust_saturation,
        pil_ops.adjust_hue,
    ]
    for adjustment in colors.order if colors.is_jittered else []:
        image = adjust[adjustment](image, float(colors.factors[adjustment]))
    if colors.is_gray:
        image = pil_ops.to_grayscale(image, 3)
    if colors.sigma:
        image = image.filter(ImageFilter.GaussianBlur(float(colors.sigma)))
    return pil_ops.solarize(image, 128) if colors.is_solarized else image


def brightness(images: Tensor) -> Tensor:
    return images.mean(dim=(1, 2, 3))


def contrast(images: Tensor) -> Tensor:
    return images.mean(dim=1).std(dim=(1, 2))


def sharpness(images: Tensor) -> Tensor:
    return images.diff(dim=3).abs().mean(dim=(1, 2, 3))


def colorfulness(images: Tensor) -> Tensor:
    return images.std(dim=1).mean(dim=(1, 2))
