"""A step of LARS over the parameters of ResNet-50."""

from __future__ import annotations

import torch
from torch import nn

from pretrain.loss.textbook import TextbookLars
from pretrain.model import build_backbone
from pretrain.recipe import Optim
from pretrain.run.optim import build_optimizer
from tools.bench.case import Case

LEARNING_RATE = 0.1


def cases(backbone: str = "resnet50") -> list[Case]:
    """Both optimisers step networks of their own, with gradients that stay as they are."""
    ours, plain = (_with_gradients(build_backbone(backbone)) for _ in range(2))
    settings = Optim()
    our_lars = build_optimizer(settings, ours)
    for group in our_lars.param_groups:
        group["lr"] = LEARNING_RATE
    plain_lars = TextbookLars(
        list(plain.parameters()),
        LEARNING_RATE,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        eta=settings.eta,
    )
    num_params = len(list(ours.parameters()))
    what = f"a step of LARS over the {num_params} parameters of {backbone}, fp32"
    return [Case("lars", what, "s", our_lars.step, plain_lars.step, target=2)]


def _with_gradients(network: nn.Module) -> nn.Module:
    for param in network.parameters():
        param.grad = 1e-3 * torch.randn_like(param)
    return network
