"""LARS against algorithm 1 of You et al. 2017, written out in NumPy; parameter groups; restarting."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import configs.pretrain
from pretrain.optim import LARS, build_optimizer
from pretrain.recipe import Optim

WEIGHT_DECAY, MOMENTUM, ETA = 0.02, 0.9, 0.001
RATES = (0.5, 2.0, 0.1)  # falling and rising: a rate outside the momentum buffer would give other steps


def reference_steps(weight: Any, gradients: Any, *, weight_decay: float, scaled: bool) -> Any:
    """The weight after the steps: v <- m v + lr * local_rate * (g + wd w), w <- w - v."""
    weight, velocity = weight.copy(), np.zeros_like(weight)
    for rate, gradient in zip(RATES, gradients, strict=True):
        norm = np.sqrt((weight**2).sum())
        local = ETA * norm / (np.sqrt((gradient**2).sum()) + weight_decay * norm) if scaled else 1.0
        velocity = MOMENTUM * velocity + rate * local * (gradient + weight_decay * weight)
        weight -= velocity
    return weight


def run_steps(optimizer: torch.optim.Optimizer, model: nn.Module, gradients: list[list[torch.Tensor]]) -> None:
    for rate, step in zip(RATES, gradients, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for param, gradient in zip(model.parameters(), step, strict=True):
            param.grad = gradient.clone()
        optimizer.step()


def test_lars_follows_the_algorithm_and_leaves_biases_and_norms_unscaled() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    start = [param.detach().numpy().copy() for param in model.parameters()]
    gradients = [[torch.randn_like(param) for param in model.parameters()] for _ in RATES]
    settings = Optim(name="lars", weight_decay=WEIGHT_DECAY, momentum=MOMENTUM, eta=ETA)
    run_steps(build_optimizer(settings, model), model, gradients)
    for index, param in enumerate(model.parameters()):
        is_weight = param.ndim > 1
        expected = reference_steps(
            start[index],
            [step[index].numpy() for step in gradients],
            weight_decay=WEIGHT_DECAY if is_weight else 0.0,
            scaled=is_weight,
        )
        np.testing.assert_allclose(param.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_lars_without_scaling_or_decay_at_a_constant_rate_is_sgd() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.arange(6.0).double()) for _ in range(2))
    lars = LARS([ours], lr=0.1, momentum=0.9, scale_by_layer=False)
    sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    for _ in range(4):
        gradient = torch.randn(6).double()
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        lars.step()
        sgd.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_layer_without_gradient_stays_finite() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros(2, 2)
    LARS([weight], lr=1.0).step()
    assert torch.equal(weight, torch.zeros(2, 2))


@pytest.mark.parametrize("recipe", ["rn50", "demo"])
def test_only_matrices_and_kernels_decay(recipe: str) -> None:
    settings = configs.pretrain.get(recipe).optim
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    weights, rest = build_optimizer(settings, model).param_groups
    assert [tuple(param.shape) for param in weights["params"]] == [(4, 3, 3, 3), (2, 4)]
    assert all(param.ndim == 1 for param in rest["params"]) and len(rest["params"]) == 4
    assert weights["weight_decay"] == settings.weight_decay and rest["weight_decay"] == 0.0
