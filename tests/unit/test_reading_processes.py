"""Images read in processes of their own, which trials on GPUs have and trials on CPUs have not."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from transfer.tasks.classification import loader
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.loader import CenterCrop, batches, center_crop, scoring_view
from transfer.tasks.classification.protocol import Views
from transfer.weights.backbone import IMAGENET

NUM_IMAGES = 6


@pytest.fixture
def as_in_a_trial(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two reading processes, and the start method that a process of a fork server has."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("forkserver", force=True)
    monkeypatch.setattr(loader, "default_workers", lambda device: 2)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("as_in_a_trial")
def test_images_that_cannot_be_pickled_are_read_in_other_processes() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (NUM_IMAGES, 8, 8, 3), dtype=np.uint8)
    images = LabelledImages(
        name="noise",
        classes=("a", "b"),
        labels=np.arange(NUM_IMAGES) % 2,
        read=lambda row: Image.fromarray(pixels[row]),
    ).subset(np.arange(NUM_IMAGES)[::-1])
    view = scoring_view(Views(augment="shift", size=8, resize=None, max_shift=2), "resnet18", IMAGENET)
    read = [views for _, views in batches(images, view, batch_size=4, device="cpu")]
    assert torch.equal(torch.cat(read), torch.stack([view(images.read(row)) for row in range(NUM_IMAGES)]))


@pytest.mark.parametrize("colours", ["RGB", "BGR"])
def test_bytes_scaled_in_a_batch_are_the_values_of_images_scaled_one_by_one(colours: str) -> None:
    """As it was when reading processes scaled: in values and in the layout, by which convolutions round."""
    pixels = np.random.default_rng(0).integers(0, 255, (NUM_IMAGES, 40, 56, 3), dtype=np.uint8)
    images = LabelledImages(
        name="noise", classes=("a",), labels=np.zeros(NUM_IMAGES, int), read=lambda row: Image.fromarray(pixels[row])
    )
    preprocessing = replace(IMAGENET, colour_order=colours)
    before = v2.Compose(
        [
            v2.Resize(20, interpolation=v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(16),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Lambda(lambda image: image if colours == "RGB" else image.flip(0)),
            v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
        ]
    )
    view = center_crop(CenterCrop(resize=20, crop=16), preprocessing)
    assert view.cut(images.read(0)).dtype == torch.uint8
    (one,) = DataLoader([before(images.read(row)) for row in range(NUM_IMAGES)], batch_size=NUM_IMAGES)
    ((_, ours),) = batches(images, view, batch_size=NUM_IMAGES, device="cpu")
    assert ours.dtype == torch.float32 and torch.equal(ours, one) and ours.stride() == one.stride()
