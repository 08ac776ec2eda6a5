"""Regularised logistic regression by L-BFGS over a whole path of l2 values, to convergence, on CPU or GPU.

For features x_i as they are, without scaling, and weights W (D, C) and biases b (C):

- several classes: ``mean_i cross_entropy(x_i W + b, y_i) + l2 / 2 * |W|^2``, which is scikit-learn's
  ``LogisticRegression(C=1 / (l2 * N))``;
- several labels per image: the sum over classes of ``mean_i binary_cross_entropy + l2 / 2 * |w_c|^2``, the means taken
  over the images that count for the class: one class against the rest.

Biases are not penalised. What makes it fast does not move these minima. Subtracting the features' mean only changes
the biases. Rotating the features onto their principal axes is orthogonal, and with fewer images than features it
drops directions in which all of them are equal, where W is 0. Then each variable is scaled by the square root of
what the second derivative along it would be if all images had the class's mean p (1 - p), so that L-BFGS sees a
well-conditioned problem. The path goes from strong to weak l2, each value starting from the line through the two
solutions before. Everything is in double precision: in single precision, rounding stops the line search before weak l2
has converged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

HISTORY = 10  # pairs that L-BFGS remembers, as many as SciPy's
MAX_ROUND = 200  # iterations after which the scale is computed anew
SMALLEST_CURVATURE = 1e-12
SMALLEST_SHARE = 1e-12  # where an image does not count, and the gradient is 0
RAREST = 1e-6  # a class without images would need a bias of minus infinity


class LossAt(NamedTuple):
    """Loss (scalar), and its gradient with respect to the logits (N, C)."""

    value: Tensor
    by_logit: Tensor


class CrossEntropy:
    """Mean cross-entropy with the softmax of the logits, over all images at once."""

    def __init__(self, labels: Tensor, num_classes: int) -> None:
        self.num_classes = num_classes
        self._labels = labels[:, None]
        self._minus_one = torch.full(self._labels.shape, -1.0, dtype=torch.float64, device=labels.device)

    def __call__(self, logits: Tensor) -> LossAt:
        """Loss and gradient at (N, C) logits."""
        log_probabilities = logits.log_softmax(1)
        value = -log_probabilities.gather(1, self._labels).mean()
        residual = log_probabilities.exp_().scatter_add_(1, self._labels, self._minus_one)
        return LossAt(value, residual.div_(len(logits)))

    def curvature(self, by_logit: Tensor) -> Tensor:
        """(C,) mean second derivative with respect to a class's logit, where the gradient is ``by_logit``."""
        probabilities = (by_logit * len(by_logit)).scatter_add_(1, self._labels, -self._minus_one)
        return (probabilities * (1 - probabilities)).mean(0)

    def prior_bias(self) -> Tensor:
        """(C,) biases that give the classes their frequencies."""
        frequencies = torch.bincount(self._labels[:, 0], minlength=self.num_classes).double() / len(self._labels)
        log_frequencies = frequencies.clamp_min(RAREST).log()
        return log_frequencies - log_frequencies.mean()


class OneVersusRest:
    """Sum over classes of the mean binary cross-entropy over the images that count; methods as in the other loss."""

    def __init__(self, labels: Tensor) -> None:
        self.num_classes = labels.shape[1]
        counts = (labels >= 0).double()
        self._present = (labels == 1).double()
        self._share = counts / counts.sum(0).clamp_min(1)  # (N, C): of an image in its class's mean

    def __call__(self, logits: Tensor) -> LossAt:
        value = (F.softplus(logits, threshold=40) - logits * self._present).mul_(self._share).sum()
        return LossAt(value, logits.sigmoid().sub_(self._present).mul_(self._share))

    def curvature(self, by_logit: Tensor) -> Tensor:
        probabilities = by_logit / self._share.clamp_min(SMALLEST_SHARE) + self._present
        return (probabilities * (1 - probabilities) * self._share).sum(0)

    def prior_bias(self) -> Tensor:
        return (self._present * self._share).sum(0).clamp(RAREST, 1 - RAREST).logit()


def loss_of(labels: NDArray[np.integer], num_classes: int, device: str) -> CrossEntropy | OneVersusRest:
    """The loss for labels of this shape.

    Args:
        labels: (N,) classes; or (N, C) with 1 present, 0 absent, -1 not to be counted.
    """
    tensor = torch.from_numpy(labels.astype(np.int64)).to(device)
    return CrossEntropy(tensor, num_classes) if labels.ndim == 1 else OneVersusRest(tensor)


def mean_loss(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The loss of (N, C) scores without regularisation."""
    logits = torch.from_numpy(scores.astype(np.float64))
    return float(loss_of(labels, logits.shape[1], "cpu")(logits).value)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The classifier for one l2.

    Attributes:
        weight, bias: (D, C) and (C,), float64, for features as they are.
        iterations: of L-BFGS.
        gradient_norm: Euclidean norm of the objective's gradient with respect to W and b, relative to that norm at
            W = 0.
        is_converged: whether that is at most the tolerance.
    """

    l2: float
    weight: Tensor
    bias: Tensor
    iterations: int
    gradient_norm: float
    is_converged: bool

    def scores(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, C) logits of (N, D) features."""
        rows = torch.as_tensor(features, dtype=torch.float64, device=self.weight.device)
        return (rows @ self.weight + self.bias).cpu().numpy()


def fit_path(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    num_classes: int,
    l2_grid: Sequence[float],
    *,
    tolerance: float,
    max_iter: int,
    device: str = "cpu",
) -> Iterator[Solution]:
    """Solutions from the strongest l2 to the weakest, one after the other.

    Args:
        features: (N, D).
        labels: (N,) classes; or (N, C) with 1 present, 0 absent, -1 not to be counted.
        l2_grid: values above 0, in any order.
        tolerance: an l2 is done when the gradient's norm is at most this fraction of its norm at W = 0 and the biases
            that the classes' frequencies give.
        max_iter: for one l2; a solution that needs more is yielded as it is, not converged.
    """
    problem = _Problem(features, loss_of(labels, num_classes, device), device)
    here = before = problem.at(problem.zero_weight(), problem.loss.prior_bias())
    unit = problem.gradient_norm(here, 0.0)
    for l2 in sorted(l2_grid, reverse=True):
        ahead = problem.at(2 * here.weight - before.weight, 2 * here.bias - before.bias)
        start = ahead if ahead.objective(l2) < here.objective(l2) else here
        before = here
        here, iterations = _minimise(problem, start, l2, limit=tolerance * unit, max_iter=max_iter)
        norm = problem.gradient_norm(here, l2)
        weight = problem.original_weight(here.weight)
        yield Solution(
            l2=l2,
            weight=weight,
            bias=here.bias - problem.mean @ weight,
            iterations=iterations,
            gradient_norm=norm / unit if unit else 0.0,
            is_converged=norm <= tolerance * unit,
        )


@dataclass(frozen=True)
class _At:
    """A point with the loss there: its value and derivatives, without the penalty, so that they hold for any l2.

    Attributes:
        weight, bias: (R, C) on the principal axes, and (C,), for centred features.
        by_logit: (N, C) gradient of the loss.
    """

    weight: Tensor
    bias: Tensor
    loss: Tensor
    by_weight: Tensor
    by_bias: Tensor
    by_logit: Tensor

    def objective(self, l2: float) -> Tensor:
        return self.loss + 0.5 * l2 * self.weight.square().sum()

    def weight_gradient(self, l2: float) -> Tensor:
        return torch.add(self.by_weight, self.weight, alpha=l2)


class _Problem:
    """The features, centred and on their principal axes, with the loss."""

    def __init__(self, features: NDArray[np.floating], loss: CrossEntropy | OneVersusRest, device: str) -> None:
        original = torch.as_tensor(features, dtype=torch.float64, device=device)
        self.loss = loss
        self.mean = original.mean(0)
        centred = original - self.mean
        basis = None
        if len(centred) < centred.shape[1]:
            basis, triangle = torch.linalg.qr(centred.T)  # the span of the images
            centred = triangle.T
        variances, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
        self.variances = variances.clamp_min(0)
        self._rows = (centred @ axes).contiguous()
        self._basis = axes if basis is None else basis @ axes
        self._mean_on_axes = self._basis.T @ self.mean
        self._mean_beside_axes = (self.mean.square().sum() - self._mean_on_axes.square().sum()).clamp_min(0)

    def zero_weight(self) -> Tensor:
        return self._rows.new_zeros(len(self.variances), self.loss.num_classes)

    def original_weight(self, weight: Tensor) -> Tensor:
        """(R, C) on the axes to (D, C) for features as they are."""
        return self._basis @ weight

    def at(self, weight: Tensor, bias: Tensor) -> _At:
        loss, by_logit = self.loss(torch.addmm(bias, self._rows, weight))
        return _At(weight, bias, loss, self._rows.T @ by_logit, by_logit.sum(0), by_logit)

    def gradient_norm(self, at: _At, l2: float) -> float:
        """Norm of the gradient with respect to weights and biases of features as they are, not centred or rotated."""
        by_weight = at.weight_gradient(l2) + torch.outer(self._mean_on_axes, at.by_bias)
        by_bias = at.by_bias.square().sum()
        return float((by_weight.square().sum() + (self._mean_beside_axes + 1) * by_bias).sqrt())


class _Reached(Exception):  # noqa: N818  # no error
    """Ends L-BFGS at the first point whose gradient is small enough: torch's own tests are in other units."""


def _minimise(problem: _Problem, start: _At, l2: float, *, limit: float, max_iter: int) -> tuple[_At, int]:
    """Runs until the gradient's norm is at most the limit, the iterations are spent, or rounding stops progress.

    Returns:
        The point, and the number of iterations.
    """
    here, iterations = start, 0
    while problem.gradient_norm(here, l2) > limit and iterations < max_iter:
        best, done, is_reached = _round(problem, here, l2, limit=limit, max_iter=min(MAX_ROUND, max_iter - iterations))
        iterations += done
        if not is_reached and best.objective(l2) >= here.objective(l2):
            break
        here = best
    return here, iterations


def _round(problem: _Problem, start: _At, l2: float, *, limit: float, max_iter: int) -> tuple[_At, int, bool]:
    """Iterations of L-BFGS with one scale of the variables.

    Returns:
        The point that reached the limit, else the lowest one; the number of iterations; whether the limit was reached.
    """
    curvature = problem.loss.curvature(start.by_logit).clamp_min(SMALLEST_CURVATURE)
    weight_scale, bias_scale = (problem.variances[:, None] * curvature + l2).rsqrt(), curvature.rsqrt()
    variables = torch.cat([(start.weight / weight_scale).flatten(), start.bias / bias_scale]).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [variables],
        max_iter=max_iter,
        max_eval=4 * max_iter,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )
    best, is_reached = start, False

    def closure() -> Tensor:
        nonlocal best
        weight, bias = variables.detach().split([weight_scale.numel(), bias_scale.numel()])
        at = problem.at(weight.view_as(weight_scale) * weight_scale, bias * bias_scale)
        value = at.objective(l2)
        reached = problem.gradient_norm(at, l2) <= limit
        if reached or value < best.objective(l2):
            best = at
        if reached:
            raise _Reached
        variables.grad = torch.cat([(at.weight_gradient(l2) * weight_scale).flatten(), at.by_bias * bias_scale])
        return value

    try:
        optimizer.step(closure)
    except _Reached:
        is_reached = True
    return best, optimizer.state[variables]["n_iter"], is_reached
