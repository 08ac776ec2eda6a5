"""What fine-tuning is made of: the order of images, views, learning rates, batch norm in parts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from transfer.tasks.classification import loader
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.finetune import summed_loss, training_order
from transfer.tasks.classification.loader import Order, scoring_view, training_batches, training_view
from transfer.tasks.classification.protocol import Views, num_parts
from transfer.tasks.classification.sgd import Norms, fitting_processes, lr_factor
from transfer.tasks.classification.training import Group
from transfer.weights.backbone import IMAGENET
from transfer.weights.backbone.types import UNSCALED

ALONE = Group(device="cpu")
SHIFT = Views(augment="shift", size=8, resize=None, max_shift=2)
CROP = Views(augment="crop and flip", size=16, resize=20)


def images(num_images: int, size: int = 8) -> LabelledImages:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (num_images, size, size, 3), dtype=np.uint8)
    return LabelledImages(
        name="noise",
        classes=("a", "b"),
        labels=np.arange(num_images) % 2,
        read=lambda row: Image.fromarray(pixels[row]),
    )


def test_learning_rate_rises_then_falls_towards_zero() -> None:
    factors = [lr_factor(step, 40, 5) for step in range(40)]
    assert factors[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert factors[5] == 1.0
    assert all(before > after for before, after in itertools.pairwise(factors[5:]))
    assert 0 < factors[-1] < 0.01


def test_a_cosine_by_epochs_stays_for_an_epoch_and_is_torch_s() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    for epoch in range(4):
        expected = optimizer.param_groups[0]["lr"]
        assert [lr_factor(3 * epoch + step, 12, 0, steps_per_epoch=3) for step in range(3)] == pytest.approx(
            [expected] * 3
        )
        optimizer.step()
        schedule.step()


def test_every_epoch_shows_each_image_at_most_once_in_whole_batches() -> None:
    order = Order(num_images=11, batch_size=4, seed=0, whole_batches=True)
    assert order.steps_per_epoch == 2
    epochs = [np.concatenate([order.rows(2 * epoch + step) for step in range(2)]) for epoch in range(3)]
    assert all(len(set(rows.tolist())) == 8 for rows in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    every = Order(num_images=11, batch_size=4, seed=0, whole_batches=False)
    assert [len(every.rows(step)) for step in range(3)] == [4, 4, 3]
    few = Order(num_images=3, batch_size=4, seed=0, whole_batches=True)
    assert few.steps_per_epoch == 1 and len(few.rows(5)) == 3


def test_an_epoch_in_parts_begins_again_until_its_last_parts_are_even() -> None:
    """1 % of ImageNet in eight parts, as in eight processes: 51 steps an epoch, 1,020 in all."""
    order = training_order(12811, 256, norm_batch=32, whole_batches=False)
    assert (order.parts, order.steps_per_epoch, 20 * order.steps_per_epoch) == (8, 51, 1020)
    shown = np.concatenate([order.rows(step) for step in range(51)])
    assert len(shown) == 12816 and set(shown.tolist()) == set(range(12811))
    assert shown[-5:].tolist() == shown[:5].tolist()
    sizes = [training_order(number, 256, norm_batch=32, whole_batches=False) for number in (128116, 1281167)]
    assert [order.steps_per_epoch for order in sizes] == [501, 5005]


def test_a_last_batch_whose_parts_would_be_single_images_is_dropped() -> None:
    order = training_order(21, 10, norm_batch=5, whole_batches=False)
    assert (order.parts, order.steps_per_epoch) == (2, 2)
    assert training_order(23, 10, norm_batch=5, whole_batches=False).steps_per_epoch == 3
    assert training_order(23, 10).steps_per_epoch == 2
    few = training_order(13, 20, norm_batch=5, whole_batches=False)
    assert few.steps_per_epoch == 1 and len(few.rows(0)) == 15  # three parts of five


@pytest.mark.parametrize(("arch", "mode"), [("resnet50w2", "bilinear"), ("vit_base", "bicubic")])
def test_images_are_resized_as_the_official_code_does_for_the_family(
    arch: str, mode: Literal["bilinear", "bicubic"]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    pil = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[mode]
    scored = scoring_view(CROP, arch, UNSCALED)(image)
    resized = np.asarray(image.resize((24, 20), pil))[2:18, 4:20]
    assert np.array_equal((255 * scored).round().permute(1, 2, 0).numpy(), resized)

    def trained(views: Views, arch: str) -> torch.Tensor:
        torch.manual_seed(0)
        return training_view(views, arch, UNSCALED)(image)

    as_told = {name: trained(replace(CROP, interpolation=name), "any") for name in ("bilinear", "bicubic")}
    assert torch.equal(trained(CROP, arch), as_told[mode])
    assert not torch.equal(as_told["bilinear"], as_told["bicubic"])


def test_views_are_the_same_from_any_step_on_in_any_process_and_from_any_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, order = images(10), Order(num_images=10, batch_size=4, seed=3, whole_batches=False)
    view = training_view(SHIFT, "resnet18", IMAGENET)
    whole = list(training_batches(data, view, order, steps=range(6), group=ALONE))
    later = list(training_batches(data, view, order, steps=range(4, 6), group=ALONE))
    assert all(torch.equal(one.views, other.views) for one, other in zip(whole[4:], later, strict=True))
    for num_workers in (0, 2):
        monkeypatch.setattr(loader, "default_workers", lambda device, num_processes, found=num_workers: found)
        groups = (Group(device="cpu", rank=rank, num_processes=2) for rank in (0, 1))
        shares = [list(training_batches(data, view, order, steps=range(6), group=group)) for group in groups]
        for step, one, other in zip(whole, *shares, strict=True):
            assert torch.equal(step.views, torch.cat([one.views, other.views]))
            assert step.rows.tolist() == [*one.rows.tolist(), *other.rows.tolist()]
    next_epoch = next(iter(training_batches(data, view, order, steps=range(3, 4), group=ALONE)))
    assert not torch.equal(whole[0].views, next_epoch.views)


def test_reading_training_images_leaves_the_trial_s_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    order = Order(num_images=4, batch_size=2, seed=0, whole_batches=True)
    for _ in training_batches(
        images(4), training_view(SHIFT, "resnet18", IMAGENET), order, steps=range(2), group=ALONE
    ):
        pass
    assert torch.equal(torch.rand(3), expected)


def test_a_shift_moves_content_by_at_most_so_much_and_repeats_the_border() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[4, 4] = 255
    view = training_view(SHIFT, "resnet18", IMAGENET)
    torch.manual_seed(0)
    places = set()
    for _ in range(300):
        shifted = view(Image.fromarray(pixels))
        assert shifted.shape == (3, 8, 8)
        (place,) = (shifted[0] > 0).nonzero().tolist()
        places.add(tuple(place))
    assert places == set(itertools.product(range(2, 7), repeat=2))
    white = view(Image.new("RGB", (8, 8), "white"))
    assert torch.equal(white, white[:, :1, :1].expand_as(white))


def test_crops_have_the_input_s_size_and_some_are_flipped() -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    view = training_view(CROP, "resnet18", IMAGENET)
    torch.manual_seed(0)
    views = [view(Image.fromarray(pixels)) for _ in range(30)]
    assert {tuple(image.shape) for image in views} == {(3, 16, 16)}
    directions = {float(torch.sign(image[0, :, -1].mean() - image[0, :, 0].mean())) for image in views}
    assert {1.0, -1.0} <= directions
    assert scoring_view(CROP, "resnet18", IMAGENET)(Image.fromarray(pixels)).shape == (3, 16, 16)


def test_the_loss_of_several_classes_counts_neither_difficult_ones_nor_images_twice() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, -3.0]])
    targets = torch.tensor([[1, 0, -1], [0, 1, 1]], dtype=torch.int8)
    bce = nn.BCEWithLogitsLoss()
    expected = bce(logits[0, :2], torch.tensor([1.0, 0.0])) + bce(logits[1], torch.tensor([0.0, 1.0, 1.0]))
    assert summed_loss(logits, targets) == pytest.approx(expected.item())
    single = summed_loss(logits, torch.tensor([0, 2]))
    assert single == pytest.approx(nn.CrossEntropyLoss(reduction="sum")(logits, torch.tensor([0, 2])).item())


def test_running_statistics_follow_only_where_they_shall() -> None:
    norm = nn.BatchNorm1d(2)
    norms = Norms(norm, momentum=None)
    before = norm.running_mean.clone()
    with norms.tracking(False):
        norm(torch.randn(8, 2) + 5)
    assert torch.equal(norm.running_mean, before)
    with norms.tracking(True):
        norm(torch.randn(8, 2) + 5)
    assert norm.running_mean.min() > 0.1 and norm.momentum == 0.1


@pytest.mark.parametrize(
    ("batch_size", "norm_batch", "available", "expected"),
    [(256, 32, 8, 8), (256, 32, 3, 2), (256, 32, 16, 8), (256, None, 8, 1), (100, 32, 4, 4), (99, 32, 4, 1)],
)
def test_processes_share_a_step_in_whole_parts(
    batch_size: int, norm_batch: int | None, available: int, expected: int
) -> None:
    assert fitting_processes(batch_size, norm_batch, available) == expected
    assert num_parts(batch_size, norm_batch) % expected == 0
