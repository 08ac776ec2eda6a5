"""Slow and obvious forms of the objective and of LARS, as a reader of the papers would write them.

Tests and ``tools/bench.sh`` compare with them. They are for one process.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from pretrain.loss.twist import TwistLoss


def kl_divergence(p: Tensor, q: Tensor, eps: float) -> Tensor:
    """KL(p || q), mean over the images; p and q are (B, C)."""
    return (p * ((p + eps).log() - (q + eps).log())).sum(dim=1).mean()


def entropy(p: Tensor, eps: float) -> Tensor:
    """Mean over the images of the entropy of p (B, C)."""
    return -(p * (p + eps).log()).sum(dim=1).mean()


def twist_loss(
    logits_a: Tensor, logits_b: Tensor, alpha: float = 1.0, beta: float = 1.0, eps: float = 1e-5
) -> TwistLoss:
    """Equation 2 of the paper: the loss of two views (B, C)."""
    a, b = logits_a.softmax(dim=1), logits_b.softmax(dim=1)
    consistency = (kl_divergence(a, b, eps) + kl_divergence(b, a, eps)) / 2
    sharpness = (entropy(a, eps) + entropy(b, eps)) / 2
    diversity = (entropy(a.mean(dim=0, keepdim=True), eps) + entropy(b.mean(dim=0, keepdim=True), eps)) / 2
    return TwistLoss(consistency + alpha * sharpness - beta * diversity, consistency, sharpness, diversity)


def multicrop_twist_loss(
    logits_VBC: Tensor,  # noqa: N803 - views, images, classes
    num_global: int = 2,
    alpha: float = 1.0,
    beta: float = 1.0,
    eps: float = 1e-5,
) -> TwistLoss:
    """The mean of the loss of two views over every pair that begins with a global view."""
    pairs = [(i, j) for i, j in combinations(range(len(logits_VBC)), 2) if i < num_global]
    losses = [twist_loss(logits_VBC[i], logits_VBC[j], alpha, beta, eps) for i, j in pairs]
    return TwistLoss(*(torch.stack(terms).mean() for terms in zip(*losses, strict=True)))


def momentum_twist_loss(
    student_VBC: Tensor,  # noqa: N803
    teacher_TBC: Tensor,  # noqa: N803
    alpha: float = 1.0,
    beta: float = 1.0,
    eps: float = 1e-5,
) -> TwistLoss:
    """The loss with a momentum encoder: each teacher view against every other view of the student."""
    students = student_VBC.softmax(dim=2)
    teachers = teacher_TBC.detach().softmax(dim=2)
    divergences = [
        kl_divergence(teacher, student, eps)
        for t, teacher in enumerate(teachers)
        for s, student in enumerate(students)
        if s != t
    ]
    consistency = torch.stack(divergences).mean()
    sharpness = torch.stack([entropy(student, eps) for student in students]).mean()
    diversity = torch.stack([entropy(student.mean(dim=0, keepdim=True), eps) for student in students]).mean()
    return TwistLoss(consistency + alpha * sharpness - beta * diversity, consistency, sharpness, diversity)


class TextbookLars(torch.optim.Optimizer):
    """LARS, parameter by parameter, by algorithm 1 of You et al. 2017; 1-D parameters are neither scaled nor decayed.

    The rate is in the momentum: v <- m v + lr * local_rate * (g + wd w), w <- w - v.
    """

    def __init__(
        self,
        params: list[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 0.001,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eta": eta})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Takes one step."""
        for group in self.param_groups:
            for param in group["params"]:
                local_rate, weight_decay = 1.0, 0.0
                if param.ndim > 1:
                    weight_decay = group["weight_decay"]
                    weight_norm, grad_norm = param.norm().item(), param.grad.norm().item()
                    local_rate = group["eta"] * weight_norm / (grad_norm + weight_decay * weight_norm)
                update = param.grad.add(param, alpha=weight_decay).mul(group["lr"] * local_rate)
                state = self.state[param]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(param)
                state["velocity"].mul_(group["momentum"]).add_(update)
                param.sub_(state["velocity"])
