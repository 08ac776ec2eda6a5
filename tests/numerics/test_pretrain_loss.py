"""TWIST's loss against slow references: the definition number by number, and the sum over pairs with autograd."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pretrain.loss import closed_form, textbook
from pretrain.loss.twist import TwistLoss, momentum_twist_loss, multicrop_twist_loss, twist_loss

EPS = 1e-5


def kl(p: list[float], q: list[float]) -> float:
    return sum(x * (math.log(x + EPS) - math.log(y + EPS)) for x, y in zip(p, q, strict=True))


def entropy(p: list[float]) -> float:
    return -sum(x * math.log(x + EPS) for x in p)


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def entropy_of_mean(rows: list[list[float]]) -> float:
    return entropy([mean(list(column)) for column in zip(*rows, strict=True)])


def slow_pair(logits_a: Tensor, logits_b: Tensor) -> tuple[float, float, float]:
    """Consistency, sharpness, diversity of two views, number by number."""
    a, b = ([softmax(row) for row in logits.tolist()] for logits in (logits_a, logits_b))
    consistency = mean([(kl(p, q) + kl(q, p)) / 2 for p, q in zip(a, b, strict=True)])
    sharpness = (mean([entropy(p) for p in a]) + mean([entropy(p) for p in b])) / 2
    return consistency, sharpness, (entropy_of_mean(a) + entropy_of_mean(b)) / 2


def slow_momentum(student: Tensor, teacher: Tensor) -> tuple[float, float, float]:
    """The same with a momentum encoder."""
    own, wanted = ([[softmax(row) for row in view] for view in logits.tolist()] for logits in (student, teacher))
    consistency = mean(
        [
            mean([kl(p, q) for p, q in zip(wanted[t], own[s], strict=True)])
            for t in range(len(wanted))
            for s in range(len(own))
            if s != t
        ]
    )
    sharpness = mean([mean([entropy(p) for p in view]) for view in own])
    return consistency, sharpness, mean([entropy_of_mean(view) for view in own])


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
    expected = (mean([term[0] for term in terms]), mean([term[1] for term in terms]), mean([term[2] for term in terms]))
    assert_terms(multicrop_twist_loss(logits, alpha=0.4, beta=0.9), expected, 0.4, 0.9)


@pytest.mark.parametrize(("num_views", "num_teacher"), [(2, 2), (5, 2), (4, 1), (3, 3)])
def test_momentum_encoder_meets_every_other_view_of_the_student(num_views: int, num_teacher: int) -> None:
    student, teacher = random_logits(num_views, 5, 6), random_logits(num_teacher, 5, 6, seed=1)
    expected = slow_momentum(student, teacher)
    assert_terms(momentum_twist_loss(student, teacher, alpha=0.4, beta=0.9), expected, 0.4, 0.9)


Loss = Callable[[Tensor], TwistLoss]


def loss_forms(name: str, num_images: int, num_classes: int, alpha: float, beta: float) -> tuple[Loss, Loss]:
    """Ours and the textbook's: pairs of one global view or of two, or a momentum encoder."""
    if name == "teacher":
        teacher = random_logits(2, num_images, num_classes, seed=7)
        return (
            lambda x: momentum_twist_loss(x, teacher.to(x.dtype), alpha, beta, EPS),
            lambda x: textbook.momentum_twist_loss(x, teacher.to(x.dtype), alpha, beta, EPS),
        )
    num_global = {"one global": 1, "two global": 2, "all global": 4}[name]
    return (
        lambda x: multicrop_twist_loss(x, num_global, alpha, beta, EPS),
        lambda x: textbook.multicrop_twist_loss(x, num_global, alpha, beta, EPS),
    )


def value_and_gradient(loss: Loss, logits: Tensor, term: str) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = getattr(loss(leaf), term)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


@pytest.mark.parametrize("pairs", ["one global", "two global", "all global", "teacher"])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.4, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_closed_form_equals_autograd_of_the_plain_form_in_double_precision(
    pairs: str, alpha: float, beta: float
) -> None:
    ours, plain = loss_forms(pairs, 9, 13, alpha, beta)
    logits = random_logits(4, 9, 13)
    for mine, expected in zip(
        value_and_gradient(ours, logits, "total"), value_and_gradient(plain, logits, "total"), strict=True
    ):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pairs", ["two global", "teacher"])
@pytest.mark.parametrize("term", ["consistency", "sharpness", "diversity"])
def test_each_term_has_its_own_gradient(pairs: str, term: str) -> None:
    ours, plain = loss_forms(pairs, 9, 13, 0.4, 0.9)
    logits = random_logits(4, 9, 13)
    for mine, expected in zip(
        value_and_gradient(ours, logits, term), value_and_gradient(plain, logits, term), strict=True
    ):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pairs", ["two global", "teacher"])
def test_images_in_many_chunks_give_what_they_give_at_once(pairs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = loss_forms(pairs, 9, 13, 0.4, 0.9)
    logits = random_logits(4, 9, 13)
    at_once = value_and_gradient(ours, logits, "total")
    for num_images in (1, 2):  # the last of five chunks of two has one image
        monkeypatch.setattr(closed_form, "CPU_CHUNK_BYTES", num_images * 4 * 13 * 8)
        for mine, expected in zip(value_and_gradient(ours, logits, "total"), at_once, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("pairs", ["two global", "teacher"])
@pytest.mark.parametrize("agreement", [0.0, 0.99])
def test_single_precision_multicrop_is_within_a_millionth_of_the_sum_over_pairs(pairs: str, agreement: float) -> None:
    ours, plain = loss_forms(pairs, 16, 1024, 1.0, 1.0)
    # Views that nearly agree are the hard case: consistency is then a small difference of large sums.
    logits = (agreement * random_logits(1, 16, 1024, seed=3) + (1 - agreement) * random_logits(14, 16, 1024)).float()
    for mine, expected in zip(ours(logits), plain(logits.double()), strict=True):
        assert abs(mine.item() - expected.item()) <= 1e-6 * abs(expected.item())
    gradient, expected = (value_and_gradient(*form, "total")[1] for form in ((ours, logits), (plain, logits.double())))
    assert (gradient - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("pairs", ["two global", "teacher"])
def test_gradient_is_the_one_of_finite_differences(pairs: str) -> None:
    ours, _ = loss_forms(pairs, 3, 5, 0.4, 1.0)
    assert torch.autograd.gradcheck(lambda x: ours(x).total, random_logits(4, 3, 5).requires_grad_())


def test_momentum_encoder_gets_no_gradient() -> None:
    student, teacher = (random_logits(2, 4, 5, seed=seed).requires_grad_() for seed in (0, 1))
    momentum_twist_loss(student, teacher).total.backward()
    assert student.grad is not None and teacher.grad is None


@pytest.mark.parametrize("pairs", ["two global", "teacher"])
def test_backward_keeps_the_logits_and_one_distribution_a_view(pairs: str) -> None:
    ours, _ = loss_forms(pairs, 64, 13, 1.0, 1.0)
    logits = random_logits(4, 64, 13).requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        ours(logits)
    others = [tensor for tensor in kept if tensor.data_ptr() != logits.data_ptr()]
    assert len(others) < len(kept)
    assert sum(tensor.numel() for tensor in others) <= 4 * 13 + 8


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


@pytest.mark.parametrize("pairs", ["two global", "teacher"])
def test_gradient_of_half_precision_logits_is_rounded_once(pairs: str) -> None:
    ours, plain = loss_forms(pairs, 16, 32, 1.0, 1.0)
    logits = random_logits(4, 16, 32).bfloat16()
    exact = value_and_gradient(plain, logits.double(), "total")[1]
    gradient = value_and_gradient(ours, logits, "total")[1]
    assert gradient.dtype == torch.bfloat16
    if pairs == "two global":  # the teacher's logits are rounded to bf16 too
        torch.testing.assert_close(gradient.double(), exact, rtol=2**-8, atol=1e-7)
    assert (gradient - exact).norm() <= 0.01 * exact.norm()


def test_autocast_does_not_reach_into_the_loss() -> None:
    logits = random_logits(4, 16, 32).float()
    ours, _ = loss_forms("two global", 16, 32, 1.0, 1.0)
    outside = value_and_gradient(ours, logits, "total")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = value_and_gradient(ours, logits, "total")
    assert torch.equal(inside[0], outside[0]) and torch.equal(inside[1], outside[1])


@pytest.mark.parametrize(("shape", "num_global"), [((1, 4, 5), 1), ((3, 4, 5), 4), ((3, 4, 5), 0), ((4, 5), 2)])
def test_impossible_shapes_are_refused(shape: tuple[int, ...], num_global: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        multicrop_twist_loss(torch.zeros(shape), num_global)
    with pytest.raises(ValueError, match="one shape"):
        twist_loss(torch.zeros(3, 4), torch.zeros(3, 5))


@pytest.mark.parametrize(
    ("student", "teacher"), [((1, 4, 5), (1, 4, 5)), ((2, 4, 5), (3, 4, 5)), ((3, 4, 5), (2, 4, 6))]
)
def test_teacher_of_other_images_or_classes_is_refused(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        momentum_twist_loss(torch.zeros(student), torch.zeros(teacher))
