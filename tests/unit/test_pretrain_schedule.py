"""Schedules, step by step, against values worked out by hand from the official settings."""

import dataclasses
import math

import pytest

import twist_configs.pretrain
from pretrain.recipe import Data, Model, Momentum, Optim, Recipe, SelfLabeling
from pretrain.schedule import (
    default_warmup_epochs,
    is_self_labeling,
    keep_share,
    learning_rate,
    scaled_lr,
    teacher_momentum,
    warmup_cosine,
    weight_decay,
)

STEPS = 624  # an epoch; ImageNet has 625 batches of 2048, but with 624 a quarter of an epoch is whole steps
EIGHTH = 0.14644660940672624  # half a cosine has come so far after a quarter of the way: (1 - cos(pi / 4)) / 2


def lr(step: int, warmup_steps: int = 10) -> float:
    return warmup_cosine(step, num_steps=110, warmup_steps=warmup_steps, peak=4.0, final=0.004)


def test_warmup_starts_at_zero_and_reaches_the_peak() -> None:
    assert lr(0) == 0.0
    assert lr(5) == pytest.approx(2.0)
    assert lr(10) == 4.0


def test_cosine_is_halfway_in_the_middle_and_ends_at_the_final_rate() -> None:
    assert lr(60) == pytest.approx((4.0 + 0.004) / 2)
    assert lr(109) == pytest.approx(0.004 + 3.996 * 0.5 * (1 + math.cos(math.pi * 0.99)))
    assert lr(110) == pytest.approx(0.004) == lr(500)


def test_without_warmup_the_first_step_has_the_peak_rate() -> None:
    assert lr(0, warmup_steps=0) == 4.0


def test_official_warmup_is_shorter_for_short_runs() -> None:
    assert [default_warmup_epochs(epochs) for epochs in (20, 21, 50, 51, 800)] == [3, 5, 5, 10, 10]


def test_official_rn50_rate_at_batch_2048_is_four() -> None:
    assert scaled_lr(0.5, 2048) == 4.0


def two_stages(**changes: object) -> Recipe:
    """The paper's ResNet-50 with multi-crop: 800 + 50 epochs at batch 2048."""
    recipe = Recipe(
        name="test",
        epochs=800,
        data=Data(dataset="imagenet", batch_size=2048),
        model=Model(backbone="resnet50"),
        self_labeling=SelfLabeling(epochs=50),
    )
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0.0, 0.0),  # 0.5 * 2048 / 256 = 4 is reached in 10 epochs
        (2.5, 1.0),
        (10.0, 4.0),
        (207.5, 4.0 - 3.996 * EIGHTH),
        (405.0, 2.002),
        (602.5, 0.004 + 3.996 * EIGHTH),
        (800.0, 0.0),  # 0.05 * 2048 / 256 = 0.4 is reached in 5 epochs more
        (802.0, 0.16),
        (805.0, 0.4),
        (816.25, 0.4 - 0.3996 * EIGHTH),
        (827.5, 0.2002),
        (838.75, 0.0004 + 0.3996 * EIGHTH),
        (850.0, 0.0004),
    ],
)
def test_learning_rate_of_both_stages(epoch: float, expected: float) -> None:
    assert (epoch * STEPS).is_integer()
    assert learning_rate(two_stages(), int(epoch * STEPS), STEPS) == pytest.approx(expected, rel=1e-12)


def test_first_stage_ends_low_and_the_second_starts_its_own_warmup() -> None:
    recipe, switch = two_stages(), 800 * STEPS
    assert learning_rate(recipe, switch - 1, STEPS) == pytest.approx(0.004, abs=1e-8)
    assert learning_rate(recipe, switch, STEPS) == 0.0
    assert learning_rate(recipe, switch + 1, STEPS) == pytest.approx(0.4 / (5 * STEPS))
    assert learning_rate(recipe, 850 * STEPS - 1, STEPS) == pytest.approx(0.0004, abs=1e-7)


def test_stage_follows_from_the_epoch_alone() -> None:
    recipe = two_stages()
    assert [is_self_labeling(recipe, epoch) for epoch in (0, 799, 800, 849)] == [False, False, True, True]
    alone = two_stages(self_labeling=SelfLabeling(epochs=0))
    assert not is_self_labeling(alone, 800)
    assert learning_rate(alone, 800 * STEPS, STEPS) == pytest.approx(0.004)


def test_warmup_of_a_short_run_counts_both_stages() -> None:
    """As officially, where the run's epochs include self-labeling."""
    short = two_stages(epochs=40, self_labeling=SelfLabeling(epochs=5))
    longer = two_stages(epochs=40, self_labeling=SelfLabeling(epochs=20))
    assert learning_rate(short, 5 * STEPS, STEPS) == 4.0
    assert learning_rate(longer, 5 * STEPS, STEPS) == 2.0


def test_smaller_batch_lowers_both_peaks() -> None:
    recipe = two_stages(data=Data(dataset="imagenet", batch_size=256))
    assert learning_rate(recipe, 10 * STEPS, STEPS) == 0.5
    assert learning_rate(recipe, 805 * STEPS, STEPS) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.06), (75, 0.06 + 0.06 * EIGHTH), (150, 0.09), (225, 0.12 - 0.06 * EIGHTH), (300, 0.12)],
)
def test_weight_decay_of_a_vit_rises_by_half_a_cosine(epoch: int, expected: float) -> None:
    recipe = two_stages(epochs=300, optim=Optim(name="adamw", weight_decay=0.06, weight_decay_end=0.12))
    assert weight_decay(recipe, epoch * STEPS, STEPS) == pytest.approx(expected, abs=1e-12)


def test_weight_decay_without_an_end_stays_and_with_one_keeps_it_in_the_second_stage() -> None:
    constant = two_stages()
    assert [weight_decay(constant, epoch * STEPS, STEPS) for epoch in (0, 400, 849)] == [1.5e-6] * 3
    rising = two_stages(optim=Optim(weight_decay=0.1, weight_decay_end=0.3))
    assert weight_decay(rising, 800 * STEPS, STEPS) == weight_decay(rising, 849 * STEPS, STEPS) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.996), (75, 0.996 + 0.004 * EIGHTH), (150, 0.998), (225, 1.0 - 0.004 * EIGHTH), (300, 1.0)],
)
def test_teacher_momentum_rises_to_one(epoch: int, expected: float) -> None:
    recipe = two_stages(epochs=300, momentum_encoder=Momentum(enabled=True))
    assert teacher_momentum(recipe, epoch * STEPS, STEPS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("steps_after_switch", "expected"),
    [
        (0, 0.5),
        (50 * STEPS // 4, 0.5 + 0.1 * EIGHTH),
        (25 * STEPS, 0.55),
        (50 * STEPS * 3 // 4, 0.6 - 0.1 * EIGHTH),
        (50 * STEPS - 1, 0.6),
    ],
)
def test_labelled_share_rises_over_the_second_stage(steps_after_switch: int, expected: float) -> None:
    share = keep_share(two_stages(), 800 * STEPS + steps_after_switch, STEPS)
    assert share == pytest.approx(expected, abs=1e-5)


def test_named_recipes_have_the_official_schedules() -> None:
    rn50, demo = twist_configs.pretrain.get("rn50"), twist_configs.pretrain.get("demo")
    assert learning_rate(rn50, 10 * STEPS, STEPS) == 4.0
    # The demo's own: one epoch of 31 steps to 2e-3 * 128 / 256.
    assert learning_rate(demo, 31, 31) == 1e-3 and learning_rate(demo, 0, 31) == 0.0
