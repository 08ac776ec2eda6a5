"""Frozen features on disk: shared where everything is the same, made anew where anything is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.classification_trials import make_trial
from transfer.reading import Reading
from transfer.tasks.classification.datasets import splits_of
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.feature_cache import FeatureCache
from transfer.tasks.classification.loader import CenterCrop
from transfer.tasks.classification.protocol import load_protocol
from transfer.trials.plan import weights_ref
from transfer.weights.backbone import Backbone, random_backbone
from twist_common.errors import UserError

NUM_IMAGES = 30


class Pooled(nn.Module):
    """Mean colour of the image's halves; counts the images that it was shown."""

    num_shown = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.num_shown += len(images)
        return torch.cat([images[..., :4].mean((2, 3)), images[..., 4:].mean((2, 3))], 1)


class NotANumber(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)) * float("nan")


def images(seed: int = 0, read: Callable[[int], Image.Image] | None = None) -> LabelledImages:
    pixels = np.random.default_rng(seed).integers(255, size=(NUM_IMAGES, 8, 8, 3), dtype=np.uint8)
    return LabelledImages(
        name="toy train",
        classes=("a", "b"),
        labels=np.arange(NUM_IMAGES) % 2,
        read=read or (lambda row: Image.fromarray(pixels[row])),
    )


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(
        folder=tmp_path / "features",
        module=Pooled(),
        backbone=Backbone(arch="toy", state_dict={}, source_format="toy", source="toy", sha256="abc"),
        taken="student",
        view=CenterCrop(resize=None, crop=None),
        batch_size=7,
        device="cpu",
    )


def shown(cache: FeatureCache, call: Callable[[], object]) -> int:
    """How many images the network saw during the call."""
    before = cache.module.num_shown
    call()
    return int(cache.module.num_shown - before)


def test_the_second_use_reads_a_few_images_alone_and_gives_the_same_bits(cache: FeatureCache, tmp_path: Path) -> None:
    progress: list[int] = []
    first = cache.features(images(), tmp_path, progress.append)
    assert first.shape == (NUM_IMAGES, 6) and first.dtype == np.float32
    assert progress[-1] == NUM_IMAGES
    assert shown(cache, lambda: np.testing.assert_array_equal(cache.features(images(), tmp_path), first)) == 4
    assert [path.suffix for path in cache.folder.iterdir()] == [".safetensors"]


def test_other_weights_views_images_or_folders_have_files_of_their_own(cache: FeatureCache, tmp_path: Path) -> None:
    cache.features(images(), tmp_path)
    others = [
        dataclasses.replace(cache, backbone=dataclasses.replace(cache.backbone, sha256="def")),
        dataclasses.replace(cache, taken="teacher"),
        dataclasses.replace(cache, view=CenterCrop(resize=8, crop=8)),
        dataclasses.replace(cache, batch_size=8),
    ]
    for other in others:
        assert shown(cache, lambda other=other: other.features(images(), tmp_path)) == NUM_IMAGES  # type: ignore[misc]
    half = images().subset(np.arange(10), "toy train half")
    assert cache.features(half, tmp_path).shape == (10, 6)
    assert shown(cache, lambda: cache.features(images(), tmp_path / "elsewhere")) == NUM_IMAGES
    assert len(list(cache.folder.iterdir())) == 7


def test_images_that_were_replaced_are_noticed(cache: FeatureCache, tmp_path: Path) -> None:
    old = cache.features(images(), tmp_path)
    new = cache.features(images(seed=1), tmp_path)
    assert np.abs(new - old).max() > 0.1
    np.testing.assert_array_equal(cache.features(images(seed=1), tmp_path), new)


def test_one_file_that_was_replaced_is_noticed(cache: FeatureCache, tmp_path: Path) -> None:
    listed = images()
    for row in range(NUM_IMAGES):
        listed.read(row).save(tmp_path / f"{row}.png")

    def of_files() -> LabelledImages:
        return dataclasses.replace(
            listed,
            read=lambda row: Image.open(tmp_path / f"{row}.png").convert("RGB"),
            names=[f"{row}.png" for row in range(NUM_IMAGES)],
            root=tmp_path,
        )

    old = cache.features(of_files(), tmp_path)
    Image.new("RGB", (8, 8), "white").save(tmp_path / "1.png")  # none of the four that are read again
    new = cache.features(of_files(), tmp_path)
    assert np.flatnonzero(np.abs(new - old).max(axis=1) > 0.1).tolist() == [1]


@pytest.mark.parametrize("damage", ["a byte", "the end", "everything"])
def test_a_damaged_file_is_made_anew(cache: FeatureCache, tmp_path: Path, damage: str) -> None:
    first = cache.features(images(), tmp_path)
    (path,) = cache.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes({"a byte": bytes(content), "the end": bytes(content[:-40]), "everything": b""}[damage])
    assert shown(cache, lambda: np.testing.assert_array_equal(cache.features(images(), tmp_path), first)) >= NUM_IMAGES
    assert shown(cache, lambda: cache.features(images(), tmp_path)) == 4


def test_an_image_that_cannot_be_read_leaves_nothing(cache: FeatureCache, tmp_path: Path) -> None:
    def read(row: int) -> Image.Image:
        if row == 20:
            raise UserError("cannot read the image 20")
        return Image.new("RGB", (8, 8))

    with pytest.raises(UserError, match="image 20"):
        cache.features(images(read=read), tmp_path)
    assert not cache.folder.exists()


def test_features_that_are_not_numbers_are_an_error(cache: FeatureCache, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="toy train"):
        dataclasses.replace(cache, module=NotANumber()).features(images(), tmp_path)
    assert not cache.folder.exists()


def test_networks_of_one_checkpoint_have_features_of_their_own(few_digits: Path, tmp_path: Path) -> None:
    """Also where they are as alike as a network and its moving average, which the images read again cannot tell."""
    state = random_backbone("resnet18", seed=0).state_dict
    path = tmp_path / "both.pth"
    torch.save({"net": state, "ema": {key: value * 1.0001 for key, value in state.items()}}, path)
    trial = make_trial("demo-knn", data=few_digits, work_dir=tmp_path / "work")
    protocol, _ = load_protocol(trial.benchmark, ())
    found = []
    for entry in ("net", "ema"):
        reading = Reading(entry=entry, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        of_entry = dataclasses.replace(trial, weights=weights_ref(str(path), arch="resnet18", reading=reading))
        found.append(FeatureCache.of_trial(of_entry, protocol).features(splits_of(trial).train, few_digits))
    assert not np.array_equal(*found)
