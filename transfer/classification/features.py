"""Frozen features: what the backbone gives in eval mode, without augmentation."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer.classification.labelled import LabelledImages
from transfer.classification.loader import batches
from transfer.classification.transforms import Transform

MAX_WORKERS = 16


@torch.inference_mode()
def image_features(
    module: nn.Module,
    images: LabelledImages,
    transform: Transform,
    *,
    batch_size: int,
    device: str,
    done: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.float32]:
    """Reads images and runs them through a module in eval mode.

    Args:
        module: (B, 3, H, W) to (B, D); left in eval mode on ``device``.
        done: called with the number of images done.

    Returns:
        (N, D) float32.

    Raises:
        UserError: an image cannot be read.
        FloatingPointError: a feature is not finite.
    """
    module.eval().to(device)
    # On CPU a trial has one core; on a GPU the reading has to keep up with it.
    num_workers = 0 if device == "cpu" else min(len(os.sched_getaffinity(0)), MAX_WORKERS)
    parts: list[Tensor] = []
    num_done = 0
    for views in batches(images, transform, batch_size=batch_size, num_workers=num_workers):
        parts.append(module(views.to(device, non_blocking=True)).float().cpu())
        num_done += len(views)
        done(num_done)
    features = torch.cat(parts).numpy()
    if not np.isfinite(features).all():
        raise FloatingPointError(f"the features of {images.name} are not finite")
    return features


@torch.inference_mode()
def extract(
    module: nn.Module, images: Tensor, *, batch_size: int, device: str, done: Callable[[int], None] = lambda rows: None
) -> NDArray[np.float32]:
    """Runs images through a module in eval mode.

    Args:
        module: (B, 3, H, W) to (B, D); left in eval mode on ``device``.
        images: (N, 3, H, W), normalised.
        done: called with the number of images done.

    Returns:
        (N, D) float32.
    """
    module.eval().to(device)
    outputs = []
    for start in range(0, len(images), batch_size):
        outputs.append(module(images[start : start + batch_size].to(device)).float().cpu())
        done(min(start + batch_size, len(images)))
    return torch.cat(outputs).numpy()
