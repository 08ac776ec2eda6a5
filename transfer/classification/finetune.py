"""Fine-tuning of backbone and a fresh linear head with few labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pretrain.model import Backbone as BackboneModule
from transfer.classification.images import LabelledImages
from transfer.classification.protocol import FinetuneProtocol


def finetune(
    backbone: BackboneModule,
    train: LabelledImages,
    protocol: FinetuneProtocol,
    *,
    seed: int,
    device: str,
    done: Callable[[int, int], None] = lambda step, num_steps: None,
) -> nn.Module:
    """Trains backbone and head on all of ``train``; the last step's weights are the result.

    Args:
        backbone: changed in place.
        train: the labelled images only.
        seed: draws batches and shifts. The head starts at zero, so that all classes are equally likely.
        done: called with steps done and steps in all.

    Returns:
        (B, 3, H, W) to logits (B, C), on ``device``.
    """
    rng = np.random.default_rng(seed)
    head = nn.Linear(backbone.num_features, len(train.classes))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model = nn.Sequential(backbone, head).to(device).train()
    optimizer = torch.optim.SGD(
        parameter_groups(backbone, head, protocol), lr=0.0, momentum=protocol.momentum, nesterov=True
    )
    num_steps = protocol.epochs * steps_per_epoch(len(train), protocol.batch_size)
    batches = epoch_batches(len(train), protocol, rng)
    for step, rows in enumerate(batches):
        factor = lr_factor(step, num_steps, protocol.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        images = random_shift(train.images[torch.from_numpy(rows)], protocol.max_shift, rng)
        loss = F.cross_entropy(model(images.to(device)), torch.from_numpy(train.labels[rows]).to(device))
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}: the learning rate is too high")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        done(step + 1, num_steps)
    return model


def parameter_groups(backbone: nn.Module, head: nn.Module, protocol: FinetuneProtocol) -> list[dict]:
    """Backbone and head with their learning rates as ``peak_lr``; vectors (norms and biases) without decay."""
    groups = []
    for module, peak_lr in ((backbone, protocol.lr_backbone), (head, protocol.lr_head)):
        parameters = list(module.parameters())
        for members, weight_decay in (
            ([parameter for parameter in parameters if parameter.ndim > 1], protocol.weight_decay),
            ([parameter for parameter in parameters if parameter.ndim <= 1], 0.0),
        ):
            groups.append({"params": members, "peak_lr": peak_lr, "weight_decay": weight_decay})
    return groups


def lr_factor(step: int, num_steps: int, warmup_steps: int) -> float:
    """Linear rise to 1 over ``warmup_steps`` steps, then a cosine that would reach 0 at ``num_steps``."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Whole batches in an epoch; fewer images than a batch make one smaller batch."""
    return max(num_images // batch_size, 1)


def epoch_batches(num_images: int, protocol: FinetuneProtocol, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows of every batch of every epoch; without the last, smaller batch, which batch norm would take ill."""
    for _ in range(protocol.epochs):
        rows = rng.permutation(num_images)
        for batch in range(steps_per_epoch(num_images, protocol.batch_size)):
            yield rows[batch * protocol.batch_size : (batch + 1) * protocol.batch_size]


def random_shift(images: Tensor, max_shift: int, rng: np.random.Generator) -> Tensor:
    """Moves each image by up to ``max_shift`` pixels on both axes; what comes in repeats the border.

    Args:
        images: (B, 3, H, W).
    """
    if max_shift == 0:
        return images
    height, width = images.shape[-2:]
    padded = F.pad(images, (max_shift,) * 4, mode="replicate")
    offsets = rng.integers(0, 2 * max_shift, size=(len(images), 2), endpoint=True)
    return torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, offsets, strict=True)])
