"""The learning rate, step by step."""

import math

import pytest

from pretrain.schedule import default_warmup_epochs, scaled_lr, warmup_cosine


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
