"""The linear classifier against its objective, and the choice of l2."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from common.errors import UserError
from transfer.classification.linear import _fit, fit_linear
from transfer.classification.protocol import LinearProtocol


def blobs(num_per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = 1.5 * np.random.default_rng(99).normal(size=(3, 6))
    labels = np.repeat(np.arange(3), num_per_class)
    return (centres[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32), labels


def protocol(**changes: object) -> LinearProtocol:
    settings = {"labels_per_class": 20, "val_fraction": 0.25, "l2_grid": (1e-4, 1e-1, 1e2), "max_iter": 500}
    return LinearProtocol(**{**settings, "batch_size": 10, **changes})  # type: ignore[arg-type]


def test_fit_minimises_mean_cross_entropy_plus_half_l2_squared_norm() -> None:
    features, labels = blobs(15, seed=0)
    l2 = 0.05
    raw = features.astype(float)
    standardised = (raw - raw.mean(0)) / raw.std(0)

    def objective(flat: np.ndarray) -> float:
        weights, bias = flat[:18].reshape(6, 3), flat[18:]
        log_p = log_softmax(standardised @ weights + bias, axis=1)
        return -log_p[np.arange(len(labels)), labels].mean() + 0.5 * l2 * (weights**2).sum()

    reference = minimize(objective, np.zeros(21), method="BFGS", options={"gtol": 1e-7})
    regression = _fit(features, labels, l2, 500).named_steps["logisticregression"]
    ours = np.concatenate([regression.coef_.T.ravel(), regression.intercept_])
    # A gradient of 1e-4, where the solver stops, leaves the objective within 1e-4 ** 2 / (2 * l2) of its minimum.
    assert objective(ours) == pytest.approx(reference.fun, abs=1e-6)
    twice = _fit(features, labels, 2 * l2, 500).named_steps["logisticregression"]
    assert objective(np.concatenate([twice.coef_.T.ravel(), twice.intercept_])) > reference.fun + 1e-4


def test_l2_is_chosen_by_held_out_loss_and_all_labels_are_refitted() -> None:
    features, labels = blobs(20, seed=1)
    tried: list[int] = []
    fit = fit_linear(features, labels, protocol(), seed=0, done=tried.append)
    assert tried == [1, 2, 3]
    assert fit.l2 == 0.1  # 100 answers all classes alike, 0.0001 is too sure on overlapping blobs
    refit = _fit(features, labels, 0.1, 500)
    assert (fit.classifier.predict_proba(features) == refit.predict_proba(features)).all()
    test, test_labels = blobs(200, seed=2)
    losses = {
        l2: log_loss(test_labels, _fit(features, labels, l2, 500).predict_proba(test)) for l2 in protocol().l2_grid
    }
    assert min(losses, key=lambda l2: losses[l2]) == fit.l2


def test_scale_and_offset_of_a_feature_do_not_matter() -> None:
    features, labels = blobs(20, seed=3)
    scaled = features * np.float32([1e-3, 1, 10, 100, 1, 1]) + np.float32([0, 5, 0, 0, -3, 0])
    ours, same = (fit_linear(x, labels, protocol(), seed=0).classifier.predict_proba(x) for x in (features, scaled))
    assert np.allclose(ours, same, atol=1e-3)


def test_too_few_labels_to_hold_some_out_is_a_user_error() -> None:
    features, labels = blobs(1, seed=4)
    with pytest.raises(UserError, match="labels_per_class"):
        fit_linear(features, labels, protocol(), seed=0)
