"""Regularised logistic regression by L-BFGS over a whole path of l2 values, to convergence, on CPU or GPU.

For features x_i as they are, with no scaling, and weights W (D, C) and biases b (C):

- several classes: ``mean_i cross_entropy(x_i W + b, y_i) + l2 / 2 * |W|^2``, which is scikit-learn's
  ``LogisticRegression(C=1 / (l2 * N))``;
- several labels an image: the sum over classes of ``mean_i binary_cross_entropy + l2 / 2 * |w_c|^2``, the means taken
  over the images that count for the class: one class against the rest.

Biases are not penalised. What makes it quick leaves these minima where they are. Subtracting the features' mean only
moves the biases. Rotating the features onto their principal axes is orthogonal, and with fewer images than features it
drops directions in which all of them are equal, where W is 0. Then each variable is scaled by the square root of
what the second derivative along it would be if all images had the class's mean p (1 - p), so that L-BFGS meets a
well-conditioned problem. It goes from strong to weak l2, each time starting from the line through the two solutions
before. All is in double precision: in single precision, rounding stops the line search before weak l2 has converged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.tasks.classification.logistic_loss import Loss, loss_of

HISTORY = 10  # pairs that L-BFGS remembers, as many as SciPy's
MAX_ROUND = 200  # iterations after which the scale is taken anew
SMALLEST_CURVATURE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The classifier for one l2.

    Attributes:
        weight, bias: (D, C) and (C,), float64, for features as they are.
        iterations: of L-BFGS.
        gradient_norm: Euclidean norm of the objective's gradient by W and b, in parts of that norm at W = 0.
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
        tolerance: an l2 is done when the gradient's norm is at most this part of its norm at W = 0 and the biases that
            the classes' frequencies give.
        max_iter: for one l2; a solution that needs more is given back as it is, not converged.
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

    def __init__(self, features: NDArray[np.floating], loss: Loss, device: str) -> None:
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
        """Norm of the gradient by the weights and biases of features as they are, neither centred nor rotated."""
        by_weight = at.weight_gradient(l2) + torch.outer(self._mean_on_axes, at.by_bias)
        by_bias = at.by_bias.square().sum()
        return float((by_weight.square().sum() + (self._mean_beside_axes + 1) * by_bias).sqrt())


class _Reached(Exception):  # noqa: N818  # no error
    """Ends L-BFGS at the first point whose gradient is small enough: torch's own tests are in other units."""


def _minimise(problem: _Problem, start: _At, l2: float, *, limit: float, max_iter: int) -> tuple[_At, int]:
    """Goes on until the gradient's norm is at most the limit, the iterations are spent, or rounding stops progress.

    Returns:
        the point, and the number of iterations.
    """
    at, iterations = start, 0
    while problem.gradient_norm(at, l2) > limit and iterations < max_iter:
        search = _Round(problem, at, l2, limit)
        search.run(min(MAX_ROUND, max_iter - iterations))
        iterations += search.iterations
        if not search.is_reached and search.at.objective(l2) >= at.objective(l2):
            break
        at = search.at
    return at, iterations


class _Round:
    """Iterations of L-BFGS with one scale of the variables.

    Attributes:
        at: the point that reached the limit, else the lowest one.
    """

    def __init__(self, problem: _Problem, start: _At, l2: float, limit: float) -> None:
        self.at, self.iterations, self.is_reached = start, 0, False
        self._problem, self._l2, self._limit = problem, l2, limit
        curvature = problem.loss.curvature(start.by_logit).clamp_min(SMALLEST_CURVATURE)
        self._weight_scale = (problem.variances[:, None] * curvature + l2).rsqrt()
        self._bias_scale = curvature.rsqrt()

    def run(self, max_iter: int) -> None:
        scaled = [self.at.weight / self._weight_scale, self.at.bias / self._bias_scale]
        variables = torch.cat([part.flatten() for part in scaled]).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [variables],
            max_iter=max_iter,
            max_eval=4 * max_iter,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
        )
        with contextlib.suppress(_Reached):
            optimizer.step(lambda: self._look(variables))
        self.iterations = optimizer.state[variables]["n_iter"]

    def _look(self, variables: Tensor) -> Tensor:
        """The closure of L-BFGS: leaves the gradient in ``variables`` and returns the objective."""
        weight, bias = variables.detach().split([self._weight_scale.numel(), self._bias_scale.numel()])
        scale = self._weight_scale
        at = self._problem.at(weight.view_as(scale) * scale, bias * self._bias_scale)
        value = at.objective(self._l2)
        if self._problem.gradient_norm(at, self._l2) <= self._limit:
            self.at, self.is_reached = at, True
            raise _Reached
        if value < self.at.objective(self._l2):
            self.at = at
        variables.grad = torch.cat([(at.weight_gradient(self._l2) * scale).flatten(), at.by_bias * self._bias_scale])
        return value
