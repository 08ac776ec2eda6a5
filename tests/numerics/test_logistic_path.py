"""The regularisation path against independent minimisers of the same objective and against scikit-learn."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from transfer import datasets
from transfer.tasks.classification.logistic import Solution, fit_path, mean_loss
from twist_configs.classification.linear11 import CONFIG

pytestmark = pytest.mark.usefixtures("one_thread")

TOLERANCE, MAX_ITER = 1e-5, 5000
Data = tuple[np.ndarray, np.ndarray]


def blobs(num_images: int, num_features: int, num_classes: int, seed: int, spread: float = 1.0) -> Data:
    """Overlapping classes whose features have other means and scales."""
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    centres = fixed.normal(size=(num_classes, num_features))
    scales, means = np.logspace(0, -2, num_features), fixed.normal(size=num_features)
    labels = np.arange(num_images) % num_classes
    features = (centres[labels] + spread * rng.normal(size=(num_images, num_features))) * scales + means
    return features.astype(np.float32), labels


def solve(data: Data, grid: tuple[float, ...], tolerance: float = TOLERANCE) -> dict[float, Solution]:
    features, labels = data
    num_classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    path = fit_path(features, labels, num_classes, grid, tolerance=tolerance, max_iter=MAX_ITER)
    return {solution.l2: solution for solution in path}


def objective(features: np.ndarray, labels: np.ndarray, weight: np.ndarray, bias: np.ndarray, l2: float) -> float:
    """Mean cross-entropy + l2 / 2 * |W|^2, written anew."""
    log_p = log_softmax(features.astype(float) @ weight + bias, axis=1)
    return -log_p[np.arange(len(labels)), labels].mean() + 0.5 * l2 * (weight**2).sum()


@pytest.mark.parametrize("shape", [(40, 6), (15, 30)], ids=["more images than features", "fewer"])
def test_every_solution_is_the_minimum_of_the_stated_objective(shape: tuple[int, int]) -> None:
    features, labels = blobs(*shape, num_classes=3, seed=0)
    size = shape[1] * 3
    for l2, solution in solve((features, labels), (1e-3, 0.05, 10.0), tolerance=1e-7).items():

        def value(flat: np.ndarray, l2: float = l2) -> float:
            return objective(features, labels, flat[:size].reshape(-1, 3), flat[size:], l2)

        reference = minimize(value, np.zeros(size + 3), method="L-BFGS-B", options={"maxfun": 10**6, "ftol": 1e-14})
        ours = objective(features, labels, solution.weight.numpy(), solution.bias.numpy(), l2)
        assert solution.is_converged
        assert ours <= reference.fun + 1e-9
        assert ours == pytest.approx(reference.fun, abs=1e-5)


def test_gradient_norm_is_that_of_the_objective_in_features_as_they_are() -> None:
    features, labels = blobs(60, 5, 3, seed=1)
    one_hot, wide = np.eye(3)[labels], features.astype(float)

    def norm(weight: np.ndarray, bias: np.ndarray, l2: float) -> float:
        residual = (np.exp(log_softmax(wide @ weight + bias, axis=1)) - one_hot) / len(labels)
        return float(np.sqrt(((wide.T @ residual + l2 * weight) ** 2).sum() + (residual.sum(0) ** 2).sum()))

    start = norm(np.zeros((5, 3)), np.log(one_hot.mean(0)), 0.0)
    for solution in solve((features, labels), (1e-4, 1.0)).values():
        again = norm(solution.weight.numpy(), solution.bias.numpy(), solution.l2)
        assert solution.gradient_norm == pytest.approx(again / start, rel=1e-4, abs=1e-12)
        assert solution.gradient_norm <= TOLERANCE


def test_one_class_against_the_rest_leaves_difficult_images_out_of_their_class_alone() -> None:
    """Each column is the binary regression of the images that count for it."""
    features, _ = blobs(80, 6, 4, seed=2)
    rng = np.random.default_rng(3)
    labels = rng.choice([-1, 0, 1], p=[0.15, 0.5, 0.35], size=(80, 3)).astype(np.int8)
    l2 = 0.02
    solution = solve((features, labels), (l2,), tolerance=1e-7)[l2]
    for column in range(3):
        counts = labels[:, column] >= 0
        x, y = features[counts].astype(float), labels[counts, column]
        reference = LogisticRegression(C=1 / (l2 * len(y)), tol=1e-10, max_iter=10**5).fit(x, y)
        assert solution.weight[:, column].numpy() == pytest.approx(reference.coef_[0], abs=1e-5)
        assert float(solution.bias[column]) == pytest.approx(reference.intercept_[0], abs=1e-5)
    assert mean_loss(solution.scores(features), labels) == pytest.approx(
        sum(
            -np.log(np.where(y == 1, p, 1 - p))[y >= 0].mean()
            for y, p in zip(labels.T, expit(solution.scores(features)).T, strict=True)
        )
    )


def test_a_class_without_images_and_features_that_never_change_do_no_harm() -> None:
    features, labels = blobs(30, 5, 3, seed=4)
    features[:, 2] = 7.0
    path = fit_path(features, labels * 2, 6, (1e-4, 1.0), tolerance=TOLERANCE, max_iter=MAX_ITER)
    for solution in path:
        assert solution.is_converged
        assert set(solution.scores(features).argmax(1)) <= {0, 2, 4}
        assert float(solution.weight[2].abs().max()) < 1e-9


def test_too_few_iterations_are_told_and_not_hidden() -> None:
    features, labels = blobs(60, 20, 3, seed=5)
    path = list(fit_path(features, labels, 3, (1e-6,), tolerance=1e-9, max_iter=2))
    assert [(solution.iterations, solution.is_converged) for solution in path] == [(2, False)]
    assert path[0].gradient_norm > 1e-9


def test_the_path_does_not_depend_on_which_values_came_before() -> None:
    data = blobs(50, 8, 4, seed=6)
    alone, along = solve(data, (1e-3,), 1e-8)[1e-3], solve(data, (10.0, 1.0, 0.1, 1e-2, 1e-3), 1e-8)[1e-3]
    assert torch.allclose(alone.weight, along.weight, atol=1e-5)


def pixels() -> tuple[Data, Data]:
    images, labels = load_digits(return_X_y=True)
    return (images[:500] / 16, labels[:500]), (images[500:] / 16, labels[500:])


def many_classes() -> tuple[Data, Data]:
    return blobs(500, 16, 25, seed=7, spread=0.8), blobs(1000, 16, 25, seed=8, spread=0.8)


def network_features(digits: Path) -> tuple[Data, Data]:
    """64 of the features of an untrained ResNet-18, which differ in scale by orders of magnitude."""
    from pretrain.model import build_backbone
    from transfer.tasks.classification.datasets import open_splits
    from transfer.tasks.classification.loader import CenterCrop, center_crop
    from transfer.tasks.classification.scoring import outputs
    from transfer.weights.backbone import random_backbone

    backbone = random_backbone("resnet18", 0)
    module = build_backbone("resnet18")
    module.load_state_dict(backbone.state_dict)
    images = open_splits(datasets.get("cls-digits"), digits).train
    transform = center_crop(CenterCrop(resize=None, crop=None), backbone.preprocessing)
    parts = [images.subset(np.arange(start, 4000, 16)) for start in (0, 5)]
    first, second = [(outputs(module, part, transform, batch_size=100, device="cpu"), part) for part in parts]
    return (first[0][:, ::8], first[1].labels), (second[0][:, ::8], second[1].labels)


@pytest.mark.parametrize("name", ["pixels", "many classes", "random network"])
def test_choice_and_accuracy_are_those_of_converged_scikit_learn(name: str, digits: Path) -> None:
    """On all 45 values, against Newton's method: the same l2 by accuracy and by loss, and there the same accuracy."""
    sets = {"pixels": pixels, "many classes": many_classes, "random network": lambda: network_features(digits)}
    (features, labels), (val, val_labels) = sets[name]()
    grid = sorted(CONFIG.l2_grid, reverse=True)
    ours = solve((features, labels), CONFIG.l2_grid)
    scores = [ours[l2].scores(val) for l2 in grid]
    references = newton(features, labels, val, grid)
    accuracies, expected = ([100 * np.mean(s.argmax(1) == val_labels) for s in each] for each in (scores, references))
    losses, expected_losses = ([mean_loss(s, val_labels) for s in each] for each in (scores, references))
    best = int(np.argmax(accuracies))
    assert best == np.argmax(expected)
    assert np.argmin(losses) == np.argmin(expected_losses)
    assert abs(accuracies[best] - expected[best]) <= 0.2
    assert np.abs(np.subtract(losses, expected_losses)).max() < 0.005


def newton(features: np.ndarray, labels: np.ndarray, val: np.ndarray, grid: list[float]) -> list[np.ndarray]:
    """scikit-learn's scores for every l2; it refuses to stop early."""
    scores = []
    regression = LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=1000, warm_start=True)
    for l2 in grid:
        regression.C = 1 / (l2 * len(labels))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            regression.fit(features.astype(np.float64), labels)
        scores.append(regression.decision_function(val.astype(np.float64)))
    return scores
