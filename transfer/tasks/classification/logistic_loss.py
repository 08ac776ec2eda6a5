"""The two losses of :mod:`transfer.tasks.classification.logistic`, with their derivatives by the logits."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SMALLEST_SHARE = 1e-12  # where an image does not count, and the gradient is 0
RAREST = 1e-6  # a class without images would ask for a bias of minus infinity


class LossAt(NamedTuple):
    """Loss (scalar), and its gradient by the logits (N, C)."""

    value: Tensor
    by_logit: Tensor


class Loss(Protocol):
    """A loss over all images at once."""

    num_classes: int

    def __call__(self, logits: Tensor) -> LossAt:
        """Loss and gradient at (N, C) logits."""

    def curvature(self, by_logit: Tensor) -> Tensor:
        """(C,) mean second derivative by a class's logit, where the gradient is this."""

    def prior_bias(self) -> Tensor:
        """(C,) biases that give the classes their frequencies."""


def loss_of(labels: NDArray[np.integer], num_classes: int, device: str) -> Loss:
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


class CrossEntropy:
    """Mean cross-entropy with the softmax of the logits."""

    def __init__(self, labels: Tensor, num_classes: int) -> None:
        self.num_classes = num_classes
        self._labels = labels[:, None]
        self._minus_one = torch.full(self._labels.shape, -1.0, dtype=torch.float64, device=labels.device)

    def __call__(self, logits: Tensor) -> LossAt:
        log_probabilities = logits.log_softmax(1)
        value = -log_probabilities.gather(1, self._labels).mean()
        residual = log_probabilities.exp_().scatter_add_(1, self._labels, self._minus_one)
        return LossAt(value, residual.div_(len(logits)))

    def curvature(self, by_logit: Tensor) -> Tensor:
        probabilities = (by_logit * len(by_logit)).scatter_add_(1, self._labels, -self._minus_one)
        return (probabilities * (1 - probabilities)).mean(0)

    def prior_bias(self) -> Tensor:
        frequencies = torch.bincount(self._labels[:, 0], minlength=self.num_classes).double() / len(self._labels)
        log_frequencies = frequencies.clamp_min(RAREST).log()
        return log_frequencies - log_frequencies.mean()


class OneVersusRest:
    """Sum over classes of the mean binary cross-entropy over the images that count for the class."""

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
