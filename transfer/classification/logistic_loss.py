"""The two losses of :mod:`transfer.classification.logistic`, with their derivatives by the logits."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

RAREST = 1e-6  # a class without images would ask for a bias of minus infinity


class LossAt(NamedTuple):
    """Loss (scalar), its gradient by the logits (N, C), and mean second derivative by a class's logit (C,)."""

    value: Tensor
    by_logit: Tensor
    curvature: Tensor


class Loss(Protocol):
    """A loss over all images at once."""

    num_classes: int

    def __call__(self, logits: Tensor) -> LossAt:
        """Loss and derivatives at (N, C) logits."""

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
        self._one_hot = F.one_hot(labels, num_classes).double()
        self._labels = labels[:, None]

    def __call__(self, logits: Tensor) -> LossAt:
        log_normaliser = logits.logsumexp(1, keepdim=True)
        value = (log_normaliser - logits.gather(1, self._labels)).mean()
        probabilities = (logits - log_normaliser).exp_()
        curvature = (probabilities * (1 - probabilities)).mean(0)
        return LossAt(value, probabilities.sub_(self._one_hot).div_(len(logits)), curvature)

    def prior_bias(self) -> Tensor:
        log_frequencies = self._one_hot.mean(0).clamp_min(RAREST).log()
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
        probabilities = logits.sigmoid()
        curvature = (probabilities * (1 - probabilities) * self._share).sum(0)
        return LossAt(value, probabilities.sub_(self._present).mul_(self._share), curvature)

    def prior_bias(self) -> Tensor:
        return (self._present * self._share).sum(0).clamp(RAREST, 1 - RAREST).logit()
