"""LARS against algorithm 1 of You et al. 2017, written out in NumPy; parameter groups; restarting."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import twist_configs.pretrain
from pretrain.loss.textbook import TextbookLars
from pretrain.recipe import Optim
from pretrain.run.optim import LARS, _momentum_step, _momentum_step_on_gpu, _norms, build_optimizer, split_parameters

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


def test_lars_takes_the_same_step_with_rates_that_stay_on_the_device() -> None:
    generator = torch.Generator().manual_seed(0)
    group, rates = {"weight_decay": WEIGHT_DECAY, "momentum": MOMENTUM}, torch.tensor([0.5, 0.0, 2.0]).double()
    params, grads, buffers = ([torch.randn(size, generator=generator).double() for size in (3, 2, 5)] for _ in range(3))
    ours = [[tensor.clone() for tensor in tensors] for tensors in (params, grads, buffers)]
    _momentum_step_on_gpu(*ours, rates, group)
    for param, grad, buffer, rate in zip(params, grads, buffers, rates.tolist(), strict=True):
        _momentum_step([param], [grad], [buffer], rate, group)
    for left, right in zip([*ours[0], *ours[2]], [*params, *buffers], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-14, atol=1e-15)


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


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_layer_without_gradient_or_decay_stays_where_it_is(value: float) -> None:
    weight = nn.Parameter(torch.full((2, 2), value))
    weight.grad = torch.zeros(2, 2)
    LARS([weight], lr=1.0).step()
    assert torch.equal(weight, torch.full((2, 2), value))


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1), nn.Flatten(), nn.Linear(16, 4))


def random_gradients(model: nn.Module) -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [[torch.randn(param.shape, generator=generator) for param in model.parameters()] for _ in RATES]


def test_lars_equals_the_textbook_loop_in_single_precision() -> None:
    ours, plain = small_network(), small_network()
    gradients = random_gradients(ours)
    run_steps(build_optimizer(Optim(weight_decay=WEIGHT_DECAY), ours), ours, gradients)
    run_steps(TextbookLars([*plain.parameters()], 0.0, weight_decay=WEIGHT_DECAY), plain, gradients)
    for mine, expected in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-7)


def test_lars_takes_the_same_steps_whatever_the_layout_in_memory() -> None:
    """The fused step walks through memory, so a gradient in another order than its weights would be misread."""
    ours, expected = small_network().to(memory_format=torch.channels_last), small_network()
    gradients = random_gradients(ours)  # row-major, whatever the weights are
    optimizers = [build_optimizer(Optim(weight_decay=WEIGHT_DECAY), model) for model in (ours, expected)]
    for optimizer, model in zip(optimizers, (ours, expected), strict=True):
        run_steps(optimizer, model, gradients)
    optimizers[0].load_state_dict(copy.deepcopy(optimizers[1].state_dict()))  # row-major buffers
    for optimizer, model in zip(optimizers, (ours, expected), strict=True):
        run_steps(optimizer, model, gradients)
    assert ours[0].weight.stride() != expected[0].weight.stride()
    for mine, theirs in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)


def test_lars_goes_on_from_its_state_dict_to_the_bit() -> None:
    through, stopped = small_network(), small_network()
    gradients = random_gradients(through)
    optimizer = build_optimizer(Optim(), through)
    run_steps(optimizer, through, gradients)
    first = build_optimizer(Optim(), stopped)
    run_steps(first, stopped, gradients)
    assert all([*state] == ["momentum_buffer"] for state in first.state_dict()["state"].values())
    again = build_optimizer(Optim(), stopped)
    again.load_state_dict(first.state_dict())
    run_steps(optimizer, through, gradients)
    run_steps(again, stopped, gradients)
    assert all(torch.equal(a, b) for a, b in zip(through.parameters(), stopped.parameters(), strict=True))


def test_parameters_without_gradient_stay_and_get_no_state() -> None:
    used, unused = (nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    used.grad = torch.ones(3, 2)
    optimizer = LARS([used, unused], lr=1.0)
    optimizer.step()
    assert not torch.equal(used, torch.ones(3, 2)) and torch.equal(unused, torch.ones(3, 2))
    assert unused not in optimizer.state


def test_rate_of_a_large_layer_is_exact_in_single_precision() -> None:
    """One sum of 16 million squares in single precision would be off by a thousandth."""
    weight = nn.Parameter(torch.randn(4096, 4096, generator=torch.Generator().manual_seed(0)))
    start = weight.detach().clone()
    weight.grad = start.clone()
    LARS([weight], lr=1.0, eta=0.5).step()  # |w| = |g|: the rate is eta
    rate = (start - weight.detach()).double().norm() / start.double().norm()
    assert rate.item() == pytest.approx(0.5, rel=1e-6)
    assert _norms([start.flatten()]).item() == pytest.approx(start.double().norm().item(), rel=1e-6)


def test_tokens_and_position_embedding_of_a_vit_do_not_decay() -> None:
    model = nn.Module()
    model.cls_token, model.pos_embed = (nn.Parameter(torch.zeros(1, count, 4)) for count in (1, 5))
    model.blocks = nn.Sequential(nn.Linear(4, 4))
    weights, rest = split_parameters(model)
    assert [tuple(param.shape) for param in weights] == [(4, 4)]
    assert len(rest) == 3


@pytest.mark.parametrize("recipe", ["rn50", "demo"])
def test_only_matrices_and_kernels_decay(recipe: str) -> None:
    settings = twist_configs.pretrain.get(recipe).optim
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    weights, rest = build_optimizer(settings, model).param_groups
    assert [tuple(param.shape) for param in weights["params"]] == [(4, 3, 3, 3), (2, 4)]
    assert all(param.ndim == 1 for param in rest["params"]) and len(rest["params"]) == 4
    assert weights["weight_decay"] == settings.weight_decay and rest["weight_decay"] == 0.0
