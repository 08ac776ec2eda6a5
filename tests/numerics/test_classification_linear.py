"""The choice of l2 on validation images and the last fits; who is held out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from transfer.tasks.classification.datasets.labelled import held_out
from transfer.tasks.classification.linear import Labelled, choose_l2, refit
from transfer.tasks.classification.logistic import fit_path, mean_loss
from transfer.tasks.classification.protocol import LinearProtocol
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = (1e-4, 1e-1, 1e2)


def blobs(num_per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = 1.5 * np.random.default_rng(99).normal(size=(3, 6))
    labels = np.repeat(np.arange(3), num_per_class)
    return (centres[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32), labels


def labelled(num_per_class: int = 20, seed: int = 1) -> Labelled:
    features, labels = blobs(num_per_class, seed)
    is_val = held_out(labels, 0.25, np.random.default_rng([0, 1]))
    return Labelled(features=features, labels=labels, is_val=is_val, num_classes=3)


def protocol(**changes: object) -> LinearProtocol:
    settings = {"labels_per_class": None, "val_fraction": 0.25, "choose_by": "loss", "l2_grid": GRID}
    numbers = {"tolerance": 1e-6, "max_iter": 500, "resize": None, "crop": None, "batch_size": 10}
    return LinearProtocol(**{**settings, **numbers, **changes})  # type: ignore[arg-type]


def val_losses(data: Labelled) -> dict[float, float]:
    train = ~data.is_val
    path = fit_path(data.features[train], data.labels[train], 3, GRID, tolerance=1e-6, max_iter=500)
    return {each.l2: mean_loss(each.scores(data.features[data.is_val]), data.labels[data.is_val]) for each in path}


def test_l2_is_chosen_by_validation_loss_on_fits_that_have_not_seen_the_validation_images() -> None:
    data, fits = labelled(), list[int]()
    choice = choose_l2(data, protocol(), "top1", device="cpu", done=fits.append)
    losses = val_losses(data)
    assert fits == [1, 2, 3]
    assert choice.l2 == min(losses, key=lambda l2: losses[l2]) == 0.1
    assert choice.loss == pytest.approx(losses[0.1])
    assert 0 < choice.score <= 1


def test_by_metric_the_best_score_wins_and_ties_go_to_the_lower_loss() -> None:
    data = labelled()
    separable = dataclasses.replace(data, features=(data.features + 100 * np.eye(3, 6)[data.labels]).astype(np.float32))
    choice = choose_l2(separable, protocol(choose_by="metric"), "mean_per_class", device="cpu")
    losses = val_losses(separable)
    assert choice.score == 1.0
    assert choice.l2 == min(losses, key=lambda l2: losses[l2])


def test_the_choice_depends_on_nothing_but_training_and_validation_images() -> None:
    """Refits come after it, and see all labelled images."""
    data = labelled()
    solutions = {each.l2: each for each in refit(data, protocol(), device="cpu")}
    alone = next(fit_path(data.features, data.labels, 3, (0.1,), tolerance=1e-6, max_iter=500))
    assert list(solutions) == sorted(GRID, reverse=True)
    assert np.allclose(solutions[0.1].weight, alone.weight, atol=1e-5)


def test_held_out_images_are_an_even_part_of_every_class_and_depend_on_the_generator_alone() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [2, 10, 20, 41]))
    is_val = held_out(labels, 0.2, np.random.default_rng(3))
    assert np.bincount(labels[is_val]).tolist() == [1, 2, 4, 8]
    assert (is_val == held_out(labels, 0.2, np.random.default_rng(3))).all()
    assert (is_val != held_out(labels, 0.2, np.random.default_rng(4))).any()
    assert np.bincount(labels[~held_out(labels, 0.99, np.random.default_rng(0))]).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(("labels", "fraction"), [([0, 0, 1], 0.5), ([0, 0, 1, 1], 0.0), ([0, 0, 1, 1], 1.0)])
def test_nothing_to_hold_out_is_a_user_error(labels: list[int], fraction: float) -> None:
    with pytest.raises(UserError, match=r"labels_per_class|val_fraction"):
        held_out(np.array(labels), fraction, np.random.default_rng(0))
