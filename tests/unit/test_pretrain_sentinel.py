"""The collapse sentinel: on recorded runs, on TWIST's loss in small, and sign by sign."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import torch
from torch import nn

from pretrain.loss.twist import multicrop_twist_loss
from pretrain.watch.monitor import NbsProbe, loss_statistics
from pretrain.watch.sentinel import CollapseSentinel, largest_entropy

NAMES = ("consistency", "sharpness", "diversity", "grad_before_nbs", "std_c_after_nbs", "std_r_after_nbs")
Statistics = dict[str, float]

# Steps 1, 10, 20, ... 70 of demo runs, seed 0, 31 steps an epoch, ln C = 4.16.
HEALTHY = [
    (0.927, 3.69, 4.15, 2.75e-4, 1.0, 0.958),
    (0.832, 3.72, 4.16, 2.50e-4, 1.0, 0.957),
    (0.334, 3.77, 4.15, 1.14e-4, 1.0, 0.904),
    (0.184, 3.60, 4.15, 6.32e-5, 1.0, 0.932),
    (0.195, 3.44, 4.15, 5.66e-5, 1.0, 0.951),
    (0.158, 3.25, 4.15, 5.76e-5, 1.0, 0.965),
    (0.230, 3.09, 4.14, 6.96e-5, 1.0, 0.973),
    (0.244, 2.96, 4.14, 7.15e-5, 1.0, 0.975),
]
HEALTHY_WITHOUT_NBS = [
    (0.109, 4.08, 4.14, 3.49e-5, 0.338, 0.379),
    (0.085, 4.10, 4.14, 3.12e-5, 0.306, 0.353),
    (0.046, 4.09, 4.14, 2.45e-5, 0.283, 0.327),
    (0.294, 3.32, 3.89, 3.51e-5, 0.768, 0.698),
    (0.219, 3.07, 3.78, 4.15e-5, 0.972, 0.972),
    (0.400, 2.12, 3.27, 5.50e-5, 1.34, 1.46),
    (0.474, 1.80, 3.14, 6.09e-5, 1.71, 1.78),
    (0.329, 1.57, 3.03, 4.99e-5, 1.91, 1.91),
]
# Small digits (crops of 1.5 to 3 times the image's area), digit and ground of each view in random colors, which
# inverts half of the views: NBS alone does not prevent that all columns become equal.
COLOR_INVERSION = [
    (0.925, 3.71, 4.15, 2.73e-4, 1.0, 0.939),
    (0.791, 3.79, 4.15, 2.30e-4, 1.0, 0.877),
    (0.202, 4.08, 4.15, 4.85e-5, 1.0, 0.478),
    (0.069, 4.14, 4.15, 1.48e-5, 1.0, 0.264),
    (0.028, 4.15, 4.16, 6.62e-6, 1.0, 0.149),
    (0.015, 4.15, 4.16, 4.98e-6, 1.0, 0.132),
    (0.012, 4.15, 4.16, 3.26e-6, 1.0, 0.119),
    (0.011, 4.15, 4.16, 3.45e-6, 1.0, 0.122),
]


def statistics(row: Iterable[float]) -> Statistics:
    return dict(zip(NAMES, row, strict=True))


def answers(rows: Iterable[Iterable[float]], num_classes: int = 64) -> list[str | None]:
    sentinel = CollapseSentinel(num_classes)
    return [sentinel.observe_step(statistics(row)) for row in rows]


@pytest.mark.parametrize("rows", [HEALTHY, HEALTHY_WITHOUT_NBS])
def test_recorded_healthy_runs_raise_no_alarm_in_their_first_epochs(rows: list[tuple[float, ...]]) -> None:
    assert answers(rows) == [None] * len(rows)


def test_recorded_color_inversion_is_told_once_within_three_epochs() -> None:
    told = [(10 * index, answer) for index, answer in enumerate(answers(COLOR_INVERSION)) if answer]
    assert len(told) == 1
    step, sentence = told[0]
    assert step <= 3 * 31
    for part in ("every class has nearly the same logit", "NBS keeps", "loss.alpha", "augmentation"):
        assert part in sentence
    assert "\n" not in sentence


def test_uniform_output_has_the_entropy_of_the_papers_collapsed_rows() -> None:
    assert largest_entropy(4096, 1e-5) == pytest.approx(8.28, abs=0.005)  # table 8; ln 4096 = 8.318
    assert largest_entropy(64, 0.0) == pytest.approx(math.log(64))


@pytest.mark.parametrize(("sharpness", "diversity"), [(8.28, 8.28), (8.27, 8.28)])
def test_collapsed_rows_of_table_8_are_told_without_the_deviations_of_nbs(sharpness: float, diversity: float) -> None:
    healthy = (0.9, 7.8, 8.2, 1e-2, 0.5, 0.5)
    collapsed = (0.0, sharpness, diversity, 0.0, 0.01, 0.01)
    told = answers([healthy] * 3 + [collapsed] * 3, num_classes=4096)
    assert told[:5] == [None] * 5
    assert told[5] is not None and "equally likely" in told[5] and "0% of the run's largest" in told[5]


@pytest.mark.parametrize("row", [(0.11, 8.27, 8.28, 5e-3, 0.05, 0.05), (0.0, 2.59, 6.42, 1e-6, 1.0, 1.0)])
def test_flat_entropies_with_a_gradient_and_a_small_gradient_without_them_are_no_signs(row: tuple[float, ...]) -> None:
    assert answers([(0.9, 7.8, 8.2, 1e-2, 0.5, 0.5)] * 3 + [row] * 9, num_classes=4096) == [None] * 12


def test_sign_that_comes_and_goes_is_not_told_and_one_that_returns_is_told_again() -> None:
    bad, good = COLOR_INVERSION[-1], HEALTHY[-1]
    assert answers([good] * 3 + [bad, bad, good] * 4) == [None] * 15
    told = answers([good] * 3 + [bad] * 6 + [good] + [bad] * 3)
    assert [index for index, answer in enumerate(told) if answer] == [5, 12]


def test_few_used_classes_are_told_after_two_epochs_and_not_for_the_first_epoch() -> None:
    sentinel = CollapseSentinel(64)
    assert [sentinel.observe_epoch({"used_classes": used}) for used in (3.0, 3.0, 12.0, 6.0)] == [None] * 4
    sentence = sentinel.observe_epoch({"used_classes": 6.0})
    assert sentence is not None and "6 of 64" in sentence and "loss.beta" in sentence
    assert sentinel.observe_epoch({"used_classes": 6.0}) is None


def test_fewer_images_than_classes_are_no_sign_of_few_classes() -> None:
    used = {"used_classes": 500.0}
    few, fair = CollapseSentinel(32768), CollapseSentinel(32768, num_images=1000)
    assert [few.observe_epoch(used) is None for _ in range(3)] == [True, True, False]
    assert [fair.observe_epoch(used) for _ in range(3)] == [None] * 3


def test_sentinel_goes_on_from_its_state_as_if_never_stopped() -> None:
    rows = [*HEALTHY[:3], *COLOR_INVERSION]
    expected = answers(rows)
    for stop in range(len(rows)):
        first, second = CollapseSentinel(64), CollapseSentinel(64)
        got = [first.observe_step(statistics(row)) for row in rows[:stop]]
        state = first.state_dict()
        assert all(type(value) in (int, float) for value in state.values())
        second.load_state_dict(state)
        assert got + [second.observe_step(statistics(row)) for row in rows[stop:]] == expected


def observe_twist(alpha: float) -> tuple[list[str], Statistics, float]:
    """A small head with NBS on noisy views of eight clusters: what is told, the last statistics, the first gradient."""
    torch.manual_seed(0)
    num_classes, batch_size = 16, 128
    centres = 2 * torch.randn(8, 16)
    norm = nn.BatchNorm1d(num_classes, affine=False)
    head = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, num_classes), norm)
    probe, sentinel = NbsProbe(norm), CollapseSentinel(num_classes)
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    told, seen = [], []
    for step in range(150):
        probe.is_on = step % 5 == 0
        images = centres[torch.randint(8, (batch_size,))] + 0.5 * torch.randn(batch_size, 16)
        views = torch.cat([images + 2 * torch.randn_like(images) for _ in range(2)])
        loss = multicrop_twist_loss(head(views).unflatten(0, (2, -1)), alpha=alpha)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        if probe.is_on:
            seen.append({**loss_statistics(loss), **probe.read()})
            told.append(sentinel.observe_step(seen[-1]))
    return [sentence for sentence in told if sentence], seen[-1], seen[0]["grad_before_nbs"]


def test_twist_without_sharpness_shows_table_8s_signature_in_spite_of_nbs_and_is_told() -> None:
    told, last, first_gradient = observe_twist(alpha=0.0)
    assert len(told) == 1 and "check that loss.alpha is not 0" in told[0]
    assert last["sharpness"] > math.log(16) - 0.01 and last["diversity"] > math.log(16) - 0.01
    assert last["grad_before_nbs"] < 0.01 * first_gradient
    assert last["std_r_after_nbs"] < 0.1 and last["std_c_after_nbs"] > 0.9


def test_twist_with_sharpness_on_the_same_views_is_not_told() -> None:
    told, last, _ = observe_twist(alpha=1.0)
    assert not told
    assert last["sharpness"] < 2.2 and last["std_r_after_nbs"] > 0.8
