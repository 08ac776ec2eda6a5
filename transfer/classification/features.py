"""Frozen features: what the backbone gives in eval mode, without augmentation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


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
