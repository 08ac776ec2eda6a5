"""Optimisers: LARS for ResNets, AdamW; both leave biases and norms without weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.recipe import Optim


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose rate is scaled, layer by layer, by |weights| / |gradient|.

    The learning rate goes into the momentum buffer (You et al. 2017, algorithm 1), so that a lower rate does not
    shrink the steps that are already in it. Groups with ``scale_by_layer=False`` are plain SGD with momentum.

    Args:
        lr: the rate; set it in the parameter groups before each step.
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
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; ``closure`` may compute the loss again and returns it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        rate: float | Tensor = group["lr"]
        if group["scale_by_layer"]:
            weight_norm = torch.linalg.vector_norm(param)
            denominator = torch.linalg.vector_norm(grad) + group["weight_decay"] * weight_norm
            # A layer that got no gradient stays where it is: 0 / 0 would be NaN.
            rate = rate * group["eta"] * weight_norm / denominator.clamp_min(torch.finfo(param.dtype).tiny)
        update = (grad + group["weight_decay"] * param) * rate
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        momentum_buffer: Tensor = state["momentum_buffer"]
        momentum_buffer.mul_(group["momentum"]).add_(update)
        param.sub_(momentum_buffer)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters with weight decay, and those without: biases and the norms' scales, which are 1-D."""
    params = [param for param in model.parameters() if param.requires_grad]
    return [param for param in params if param.ndim > 1], [param for param in params if param.ndim <= 1]


def build_optimizer(settings: Optim, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters of ``model``; its rate is 0 until the schedule sets it."""
    weights, biases = split_parameters(model)
    if settings.name == "lars":
        return LARS(
            [
                {"params": weights, "weight_decay": settings.weight_decay},
                {"params": biases, "weight_decay": 0.0, "scale_by_layer": False},
            ],
            lr=0.0,
            momentum=settings.momentum,
            eta=settings.eta,
        )
    return torch.optim.AdamW(
        [{"params": weights, "weight_decay": settings.weight_decay}, {"params": biases, "weight_decay": 0.0}],
        lr=0.0,
    )
