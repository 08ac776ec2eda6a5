"""TWIST's objective: consistent between views, sharp for each image, diverse over the batch.

Follows the official ``objective.py`` and equation 2 of "Self-Supervised Learning by Estimating Twin Class
Distributions". In a ``torch.distributed`` run every value is the one of the whole batch of all processes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from pretrain.collectives import sum_over_processes


class TwistLoss(NamedTuple):
    """The objective and its terms, each a scalar; the weights alpha and beta are in ``total`` only.

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
    """The loss of two views.

    Args:
        logits_a, logits_b: (B, C), this process's share of the batch.
        alpha, beta: weights of sharpness and diversity (the official ``1 + lam1`` and ``lam2``).
        eps: added to probabilities inside the logarithms, as in the official objective. It is no detail: with
            C = 4096 most probabilities are of its size, and leaving it out changes the gradient by 41 %.

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

    These are 2(V - 1) - 1 pairs with two global views. Each pair's sharpness and diversity is the mean of its two
    views' own.

    Args:
        logits_VBC: (V, B, C), this process's share of the batch, global views first.
        num_global: how many of the views are global.
        alpha, beta, eps: see :func:`twist_loss`.

    Raises:
        ValueError: fewer than two views, or ``num_global`` is not in 1 to V.
    """
    if logits_VBC.dim() != 3 or not 1 <= num_global <= len(logits_VBC) or len(logits_VBC) < 2:
        raise ValueError(f"{num_global} global views do not fit logits (V, B, C) of {[*logits_VBC.shape]}")
    # Under autocast the logits are bf16, in which a probability of 1e-5 beside eps means nothing.
    probs = logits_VBC.to(torch.promote_types(logits_VBC.dtype, torch.float32)).softmax(dim=-1)
    log_probs = (probs + eps).log()
    pairs = [(i, j) for i in range(num_global) for j in range(i + 1, len(probs))]

    # Everything the processes have to agree on is a sum over images, so one reduction is enough.
    entropies, kl, prob_sums, num_images = _reduce_sums(
        -(probs * log_probs).sum(dim=(1, 2)),
        _symmetric_kl_sums(probs, log_probs, num_global),
        probs.sum(dim=1),
        probs.new_tensor(float(probs.shape[1])),
    )
    mean_probs = prob_sums / num_images
    entropies_of_mean = -(mean_probs * (mean_probs + eps).log()).sum(dim=-1)

    views = torch.tensor(pairs, device=probs.device).flatten()
    consistency = kl / num_images / len(pairs)
    sharpness = entropies[views].mean() / num_images
    diversity = entropies_of_mean[views].mean()
    return TwistLoss(consistency + alpha * sharpness - beta * diversity, consistency, sharpness, diversity)


def _symmetric_kl_sums(probs: Tensor, log_probs: Tensor, num_global: int) -> Tensor:
    """Sum over pairs and images of (KL(i||j) + KL(j||i)) / 2 = sum_c (p_i - p_j)(log p_i - log p_j) / 2."""
    total = probs.new_zeros(())
    for i in range(num_global):
        later = slice(i + 1, None)
        total = total + ((probs[i] - probs[later]) * (log_probs[i] - log_probs[later])).sum()
    return total / 2


def _reduce_sums(*sums: Tensor) -> list[Tensor]:
    """The sums over all processes, in one collective."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return list(sums)
    packed = sum_over_processes(torch.cat([each.flatten() for each in sums]))
    parts = packed.split([each.numel() for each in sums])
    return [part.view(each.shape) for part, each in zip(parts, sums, strict=True)]
