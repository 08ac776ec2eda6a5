"""The numerical precision of a run."""

from __future__ import annotations

import torch

from pretrain.recipe import Recipe
from twist_common.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
IN_WORDS = {
    "fp32": "fp32",
    "bf16": "bf16 autocast, NBS and loss in fp32",
    "fp16": "fp16 autocast with a scaled loss, NBS and loss in fp32",
}


def precision_of(recipe: Recipe, device: str, has_bf16: bool = True) -> str:
    """A key of :data:`DTYPES`: the recipe's, where ``auto`` is fp32 on CPUs and bf16 on GPUs, fp16 on those without it.

    Raises:
        UserError: the recipe's is bf16, which the GPU does not have.
    """
    if recipe.precision == "bf16" and not has_bf16:
        raise UserError("precision=bf16, which this GPU does not have: set precision to fp16 or fp32, or leave it")
    if recipe.precision != "auto":
        return recipe.precision
    if device != "cuda":
        return "fp32"
    return "bf16" if has_bf16 else "fp16"


def autocast(precision: str, device: str) -> torch.autocast:
    """The autocast context of the network's forward pass."""
    return torch.autocast(device, dtype=None if precision == "fp32" else DTYPES[precision], enabled=precision != "fp32")


def scaler(precision: str, device: str) -> torch.amp.GradScaler:
    """Scales the loss in fp16 so that gradients do not vanish, as the official code does; otherwise does nothing.

    ``train_one_epoch`` in
    https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/engine.py
    """
    return torch.amp.GradScaler(device, enabled=precision == "fp16")
