"""The objective of many views, forward and backward: its time, and the memory that it needs."""

from __future__ import annotations

import torch

from pretrain import textbook
from pretrain.bench.case import Case
from pretrain.loss import multicrop_twist_loss
from pretrain.recipe import NUM_GLOBAL_CROPS, Loss

# A GPU's share of a larger batch than the paper's 128 images; views and classes are those of its ResNet-50.
VIEWS, IMAGES, CLASSES = 14, 256, 4096


def cases(views: int = VIEWS, images: int = IMAGES, classes: int = CLASSES) -> list[Case]:
    """Loss and gradient of (views, images, classes) logits of deviation 1, which is what NBS gives."""
    logits = torch.randn(views, images, classes, requires_grad=True)
    weights = Loss()

    def ours() -> None:
        logits.grad = None
        loss = multicrop_twist_loss(logits, NUM_GLOBAL_CROPS, alpha=weights.alpha, beta=weights.beta, eps=weights.eps)
        loss.total.backward()

    def plain() -> None:
        logits.grad = None
        loss = textbook.multicrop_twist_loss(
            logits, NUM_GLOBAL_CROPS, alpha=weights.alpha, beta=weights.beta, eps=weights.eps
        )
        loss.total.backward()

    size = f"{images} images, {classes} classes, {views} views, {logits.dtype}"
    return [
        Case("loss", f"loss and its gradient, {size}", "s", ours, plain, target=10),
        Case("loss-memory", f"peak memory of loss and gradient, the gradient included, {size}", "MiB", ours, plain, 6),
    ]
