"""Optimisers: LARS for ResNets, and AdamW. Biases and norms have no weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.recipe import Optim

NORM_ELEMENTS = 2**18  # summed at once on CPUs
UNDECAYED = ("pos_embed", "cls_token", "dist_token")  # of ViTs, as in the official code


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose learning rate is scaled, layer by layer, by |weights| / |gradient|.

    The learning rate enters the momentum buffer (You et al. 2017, algorithm 1), so lowering it does not shrink the
    updates that are already in the buffer. Groups with ``scale_by_layer=False`` use plain SGD with momentum.
    Parameters without gradient are skipped. On CPUs a step reads the memory twice, once for the norms and once for
    everything else; on GPUs it reads it more often, but the host never waits for a rate.

    Args:
        lr: the learning rate; the schedule sets it in the parameter groups before each step.
        eta: the trust coefficient.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 0.001,
        scale_by_layer: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "eta": eta,
            "scale_by_layer": scale_by_layer,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Takes one step."""
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if not params:
                continue
            grads = [_in_memory_order(param.grad, param) for param in params]
            buffers = [_in_memory_order(self._momentum_buffer(param), param) for param in params]
            weights = [_in_memory_order(param, param) for param in params]
            if not group["scale_by_layer"]:
                _momentum_step(weights, grads, buffers, group["lr"], group)
                continue
            weight_norms = _norms(weights)
            denominators = _norms(grads) + group["weight_decay"] * weight_norms
            rates = group["lr"] * group["eta"] * weight_norms / denominators
            # 0 / 0: a layer without gradient does not change.
            rates = torch.where(denominators > 0, rates, 0.0)
            if rates.device.type == "cuda":
                _momentum_step_on_gpu(weights, grads, buffers, rates, group)
                continue
            for weight, grad, buffer, rate in zip(weights, grads, buffers, rates.tolist(), strict=True):
                _momentum_step([weight], [grad], [buffer], rate, group)

    def _momentum_buffer(self, param: Tensor) -> Tensor:
        """The parameter's momentum buffer, in the parameter's layout; a buffer from a checkpoint may have another."""
        state = self.state[param]
        buffer: Tensor | None = state.get("momentum_buffer")
        if buffer is None:
            buffer = state["momentum_buffer"] = torch.zeros_like(param)
        elif not _same_layout(buffer, param):
            buffer = state["momentum_buffer"] = torch.empty_like(param).copy_(buffer)
        return buffer


def _norms(rows: list[Tensor]) -> Tensor:
    """The norms of 1-D tensors."""
    if rows[0].device.type != "cpu":
        return torch.stack(torch._foreach_norm(rows))
    # A long sum in single precision loses small terms: 0.1 % of the norm of 23 million numbers.
    squares = [torch.stack([part.dot(part) for part in row.split(NORM_ELEMENTS)]).sum() for row in rows]
    return torch.stack(squares).sqrt()


def _momentum_step(
    params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], rate: float, group: dict[str, Any]
) -> None:
    """v <- m v + rate * (g + weight_decay w), w <- w - v, in one pass over the memory."""
    torch._fused_sgd_(
        params,
        grads,
        buffers,
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=1.0,
        dampening=1.0 - rate,  # so that the rate enters the buffer
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


def _momentum_step_on_gpu(
    params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], rates: Tensor, group: dict[str, Any]
) -> None:
    """:func:`_momentum_step` with a rate for each parameter; the rates stay on the device."""
    updates = torch._foreach_add(grads, params, alpha=group["weight_decay"])
    torch._foreach_mul_(updates, list(rates.unbind()))
    torch._foreach_mul_(buffers, group["momentum"])
    torch._foreach_add_(buffers, updates)
    torch._foreach_sub_(params, buffers)


def _in_memory_order(tensor: Tensor, like: Tensor) -> Tensor:
    """The tensor as one row, in the memory order of ``like``; a copy if its own order differs."""
    if not _same_layout(tensor, like):
        tensor = torch.empty_like(like).copy_(tensor)
    if tensor.is_contiguous():
        return tensor.view(-1)
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(order).view(-1)


def _same_layout(tensor: Tensor, other: Tensor) -> bool:
    if tensor.stride() == other.stride():
        return True
    steps = zip(tensor.shape, tensor.stride(), other.stride(), strict=True)
    return all(size == 1 or ours == theirs for size, ours, theirs in steps)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters with weight decay, and those without it: 1-D parameters (biases, norms) and the tokens of ViTs."""
    weights: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, param in model.named_parameters():
        if param.requires_grad:
            is_weight = param.ndim > 1 and name.rpartition(".")[2] not in UNDECAYED
            (weights if is_weight else rest).append(param)
    return weights, rest


def build_optimizer(settings: Optim, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser for all parameters of ``model``; its learning rate is 0 until the schedule sets it."""
    weights, rest = split_parameters(model)
    if settings.name == "lars":
        return LARS(
            [
                {"params": weights, "weight_decay": settings.weight_decay},
                {"params": rest, "weight_decay": 0.0, "scale_by_layer": False},
            ],
            lr=0.0,
            momentum=settings.momentum,
            eta=settings.eta,
        )
    return torch.optim.AdamW(
        [{"params": weights, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=0.0,
        fused=weights[0].device.type == "cuda" or None,  # None: torch's default, which is not fused
    )
