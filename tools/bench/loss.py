"""The objective of many views, forward and backward: its time, and the memory that it needs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pretrain.loss import textbook
from pretrain.loss.twist import multicrop_twist_loss
from pretrain.recipe import NUM_GLOBAL_CROPS
from tools.bench.case import Case

# Views and classes of the paper's ResNet-50; as many images as a bunch has, twice a GPU's share there.
VIEWS, IMAGES, CLASSES = 14, 256, 4096


def cases() -> list[Case]:
    """Loss and gradient of logits of deviation 1, which is what NBS gives."""
    logits = torch.randn(VIEWS, IMAGES, CLASSES, requires_grad=True)
    ours, plain = (_with_gradient(loss, logits) for loss in losses(logits))
    size = f"{IMAGES} images, {CLASSES} classes, {VIEWS} views, {logits.dtype}"
    return [
        Case("loss", f"loss and its gradient, {size}", "s", ours, plain, target=10),
        Case("loss-memory", f"peak memory of loss and gradient, the gradient included, {size}", "MiB", ours, plain, 6),
    ]


def losses(logits_VBC: Tensor) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:  # noqa: N803
    """The product's loss of the logits, and the textbook's."""
    return (
        lambda: multicrop_twist_loss(logits_VBC, NUM_GLOBAL_CROPS).total,
        lambda: textbook.multicrop_twist_loss(logits_VBC, NUM_GLOBAL_CROPS).total,
    )


def _with_gradient(loss: Callable[[], Tensor], logits: Tensor) -> Callable[[], None]:
    def call() -> None:
        loss().backward()
        logits.grad = None  # a call leaves nothing behind for the next one

    return call
