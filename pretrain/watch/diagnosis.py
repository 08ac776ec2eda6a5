"""A short diagnosis if numbers are no longer finite: logits, weights and the state of the optimiser."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.model.twist_model import TwistModel

NUM_SHOWN = 5


def describe(model: TwistModel, optimizer: torch.optim.Optimizer, logits: Tensor | None = None) -> str:
    """A few lines about logits, weights and the optimiser's state: what is not finite, or otherwise the largest values.

    Args:
        logits: (V, B, C) of the step that failed, if there was one.
    """
    lines = [] if logits is None else [f"logits: {_summary(logits)}"]
    named = dict(model.named_parameters())
    lines += _worst("weights", named)
    states = {
        f"{key} of {name}": value
        for name, param in named.items()
        for key, value in optimizer.state.get(param, {}).items()
        if isinstance(value, Tensor) and value.dim() > 0
    }
    lines += _worst("optimiser", states)
    return "".join(f"\n  {line}" for line in lines)


def _worst(what: str, tensors: dict[str, Tensor] | dict[str, nn.Parameter]) -> list[str]:
    """The first tensors that are not finite, or otherwise the largest one."""
    broken = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if broken:
        shown = "; ".join(f"{name}: {_summary(tensors[name])}" for name in broken[:NUM_SHOWN])
        return [f"{what}: {len(broken)} of {len(tensors)} tensors are not finite: {shown}"]
    if not tensors:
        return []
    largest = max(tensors, key=lambda name: tensors[name].detach().abs().max().item())
    return [f"{what}: all {len(tensors)} tensors are finite; largest in {largest}: {_summary(tensors[largest])}"]


def _summary(tensor: Tensor) -> str:
    values = tensor.detach().float()
    finite = values[torch.isfinite(values)]
    span = f"finite values {finite.min():.3g} to {finite.max():.3g}" if finite.numel() else "no finite value"
    return f"shape {[*tensor.shape]}, {values.numel() - finite.numel()} of {values.numel()} not finite, {span}"
