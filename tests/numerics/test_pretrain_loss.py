"""TWIST's loss against a slow reference that spells out the definition, in double precision."""

import math

import pytest
import torch
from torch import Tensor

from pretrain.loss import TwistLoss, multicrop_twist_loss, twist_loss

EPS = 1e-5


def slow_pair(logits_a: Tensor, logits_b: Tensor) -> tuple[float, float, float]:
    """Consistency, sharpness, diversity of two views, number by number."""
    a, b = ([softmax(row) for row in logits.tolist()] for logits in (logits_a, logits_b))

    def kl(p: list[float], q: list[float]) -> float:
        return sum(x * (math.log(x + EPS) - math.log(y + EPS)) for x, y in zip(p, q, strict=True))

    def entropy(p: list[float]) -> float:
        return -sum(x * math.log(x + EPS) for x in p)

    def mean(numbers: list[float]) -> float:
        return sum(numbers) / len(numbers)

    def mean_distribution(rows: list[list[float]]) -> list[float]:
        return [mean(list(column)) for column in zip(*rows, strict=True)]

    consistency = mean([(kl(p, q) + kl(q, p)) / 2 for p, q in zip(a, b, strict=True)])
    sharpness = (mean([entropy(p) for p in a]) + mean([entropy(p) for p in b])) / 2
    diversity = (entropy(mean_distribution(a)) + entropy(mean_distribution(b))) / 2
    return consistency, sharpness, diversity


def softmax(row: list[float]) -> list[float]:
    largest = max(row)
    powers = [math.exp(x - largest) for x in row]
    return [x / sum(powers) for x in powers]


def random_logits(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_terms(loss: TwistLoss, expected: tuple[float, float, float], alpha: float, beta: float) -> None:
    consistency, sharpness, diversity = expected
    wanted = [consistency + alpha * sharpness - beta * diversity, consistency, sharpness, diversity]
    torch.testing.assert_close(torch.stack(loss), torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.4, 1.0), (1.0, 0.7)])
def test_two_views_equal_the_definition(alpha: float, beta: float) -> None:
    a, b = random_logits(2, 7, 11)
    assert_terms(twist_loss(a, b, alpha=alpha, beta=beta), slow_pair(a, b), alpha, beta)


@pytest.mark.parametrize(("num_views", "num_pairs"), [(2, 1), (4, 5), (14, 25)])
def test_multicrop_is_the_mean_over_pairs_that_begin_with_a_global_view(num_views: int, num_pairs: int) -> None:
    logits = random_logits(num_views, 5, 6)
    pairs = [(i, j) for i in (0, 1) for j in range(i + 1, num_views)]
    assert len(pairs) == num_pairs == 2 * (num_views - 1) - 1
    terms = [slow_pair(logits[i], logits[j]) for i, j in pairs]
    mean = [sum(column) / len(pairs) for column in zip(*terms, strict=True)]
    assert_terms(multicrop_twist_loss(logits, alpha=0.4, beta=0.9), (mean[0], mean[1], mean[2]), 0.4, 0.9)


def test_gradient_is_the_one_of_finite_differences() -> None:
    logits = random_logits(4, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: multicrop_twist_loss(x, alpha=0.4, beta=0.9).total, logits)


def test_epsilon_stands_inside_the_logarithms() -> None:
    """With 4096 classes it changes the gradient by tens of percent, so leaving it out must not pass."""
    a, b = random_logits(2, 16, 4096, scale=1.0)
    gradients = []
    for eps in (1e-5, 0.0):
        leaf = a.clone().requires_grad_()
        twist_loss(leaf, b, eps=eps).total.backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    change = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert 0.05 < change < 1.0


def test_values_at_the_corners() -> None:
    uniform = torch.zeros(8, 8, dtype=torch.float64)
    one_each = 1e3 * torch.eye(8, dtype=torch.float64)
    loss = twist_loss(uniform, uniform)
    assert loss.consistency == 0 and loss.sharpness.item() == pytest.approx(math.log(8), abs=1e-3)
    assert loss.total.item() == pytest.approx(0.0, abs=1e-12)
    best = twist_loss(one_each, one_each)
    assert best.sharpness.item() == pytest.approx(0.0, abs=1e-4)
    assert best.total.item() == pytest.approx(-math.log(8), abs=2e-4)


def test_half_precision_logits_are_computed_in_single() -> None:
    a, b = random_logits(2, 16, 32)
    low = twist_loss(a.bfloat16(), b.bfloat16())
    exact = twist_loss(a.bfloat16().double(), b.bfloat16().double())
    assert low.total.dtype == torch.float32
    torch.testing.assert_close(torch.stack(low).double(), torch.stack(exact), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("shape", "num_global"), [((1, 4, 5), 1), ((3, 4, 5), 4), ((3, 4, 5), 0), ((4, 5), 2)])
def test_impossible_shapes_are_refused(shape: tuple[int, ...], num_global: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        multicrop_twist_loss(torch.zeros(shape), num_global)
    with pytest.raises(ValueError, match="one shape"):
        twist_loss(torch.zeros(3, 4), torch.zeros(3, 5))
