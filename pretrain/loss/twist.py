"""TWIST's objective: consistent between views, sharp for each image, diverse over the batch.

Equation 2 of "Self-Supervised Learning by Estimating Twin Class Distributions" (arXiv:2110.07402), for the class
distributions P1 and P2, each (B, C) and the softmax of logits (B, C), of two views of B images over C classes::

    L(P1, P2) =   1/B sum_i [KL(P1_i || P2_i) + KL(P2_i || P1_i)] / 2     consistency
                + alpha 1/B sum_i [H(P1_i) + H(P2_i)] / 2                 sharpness: mean entropy
                - beta [H(1/B sum_i P1_i) + H(1/B sum_i P2_i)] / 2        diversity: entropy of the mean

with H(p) = -sum_c p_c log(p_c + eps), and eps in KL's logarithms too, as in the official ``objective.py``. With more
views the loss is the mean over pairs of them.

In a ``torch.distributed`` run every value is that of the whole batch of all processes, with its gradient, at the cost
of one collective. ``pretrain.loss.textbook`` has the formulas as in the paper, ``pretrain.loss.closed_form`` how they
are computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pretrain.loss.closed_form import EveryPair, Pairing, TeacherPairs, TwistTerms


class TwistLoss(NamedTuple):
    """The objective and its terms, each a scalar; the weights alpha and beta affect only ``total``.

    Attributes:
        total: ``consistency + alpha * sharpness - beta * diversity``.
        consistency: KL divergence between the views, mean of both directions.
        sharpness: mean entropy of the images' class distributions.
        diversity: entropy of the mean class distribution over the batch.
    """

    total: Tensor
    consistency: Tensor
    sharpness: Tensor
    diversity: Tensor


def twist_loss(
    logits_a: Tensor, logits_b: Tensor, alpha: float = 1.0, beta: float = 1.0, eps: float = 1e-5
) -> TwistLoss:
    """The loss of two views; see the top of this file.

    Args:
        logits_a, logits_b: (B, C), this process's share of the batch.
        alpha, beta: weights of sharpness and diversity (the official ``1 + lam1`` and ``lam2``).
        eps: added to probabilities inside logarithms. It matters: with C = 4096 most probabilities are of this
            magnitude, and without it the gradient changes by 41 %.

    Raises:
        ValueError: the shapes differ or are not (B, C).
    """
    if logits_a.shape != logits_b.shape or logits_a.dim() != 2:
        raise ValueError(f"two views need logits of one shape (B, C), not {[*logits_a.shape]} and {[*logits_b.shape]}")
    return multicrop_twist_loss(torch.stack([logits_a, logits_b]), 2, alpha=alpha, beta=beta, eps=eps)


def multicrop_twist_loss(
    logits_VBC: Tensor,  # noqa: N803 - views, images, classes
    num_global: int = 2,
    alpha: float = 1.0,
    beta: float = 1.0,
    eps: float = 1e-5,
) -> TwistLoss:
    """The loss of V views: the mean over every pair of a global view and a later view.

    With two global views these are 2(V - 1) - 1 pairs. A pair's sharpness and diversity are the means of those of its
    two views.

    Args:
        logits_VBC: (V, B, C), this process's share of the batch, global views first.
        num_global: how many of the views are global.
        alpha, beta, eps: see :func:`twist_loss`.

    Raises:
        ValueError: fewer than two views, or ``num_global`` is not in 1 to V.
    """
    if logits_VBC.dim() != 3 or not 1 <= num_global <= len(logits_VBC) or len(logits_VBC) < 2:
        raise ValueError(f"{num_global} global views do not fit logits (V, B, C) of {[*logits_VBC.shape]}")
    pairing = EveryPair(len(logits_VBC), num_global)
    return _loss(logits_VBC, pairing, alpha, beta, eps)


def momentum_twist_loss(
    student_VBC: Tensor,  # noqa: N803 - views, images, classes
    teacher_TBC: Tensor,  # noqa: N803
    alpha: float = 1.0,
    beta: float = 1.0,
    eps: float = 1e-5,
) -> TwistLoss:
    """The loss with a momentum encoder: the student's views should match the teacher's global views.

    Consistency is KL(teacher's view t || student's view s), averaged over all t and all s other than t: T(V - 1)
    pairs. Sharpness and diversity are averaged over all views of the student.

    Args:
        student_VBC: (V, B, C), this process's share of the batch, global views first.
        teacher_TBC: (T, B, C), the teacher's logits of the first T of these views; they get no gradient.
        alpha, beta, eps: see :func:`twist_loss`.

    Raises:
        ValueError: the teacher's logits do not fit the student's first views, or there is only one view.
    """
    views, images, classes = student_VBC.shape
    if views < 2 or not 1 <= len(teacher_TBC) <= views or teacher_TBC.shape[1:] != (images, classes):
        raise ValueError(
            f"a teacher's logits of {[*teacher_TBC.shape]} do not fit a student's (V, B, C) of {[*student_VBC.shape]}"
        )
    pairing = TeacherPairs(views, teacher_TBC.detach(), eps)
    return _loss(student_VBC, pairing, alpha, beta, eps)


def _loss(logits: Tensor, pairing: Pairing, alpha: float, beta: float, eps: float) -> TwistLoss:
    consistency, sharpness, diversity = TwistTerms.apply(logits, pairing, eps)
    return TwistLoss(consistency + alpha * sharpness - beta * diversity, consistency, sharpness, diversity)
