"""The optimisers of detection: Detectron2's SGD for ResNets, and AdamW with layer-wise learning rates for ViTs.

Detectron2 0.6 has only SGD. AdamW is set up as in ViTDet of later versions (``projects/ViTDet``): the blocks nearer to
the image, whose features are more general, learn more slowly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from detectron2 import solver
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from common.errors import UserError, unknown_name
from transfer.tasks.detection.model import is_vit

# Settings that the other optimiser reads and this one does not.
NOT_READ = {
    "SGD": ("SOLVER.ADAM_BETAS",),
    "AdamW": (
        "SOLVER.BIAS_LR_FACTOR",
        "SOLVER.MOMENTUM",
        "SOLVER.NESTEROV",
        "SOLVER.WEIGHT_DECAY_BIAS",
        "SOLVER.WEIGHT_DECAY_NORM",
    ),
}

UNDECAYED = ("pos_embed", "cls_token")  # not 1-D, but not weights either

VIT_PARAMETER = re.compile(r"backbone\.(?:bottom_up\.)?vit\.(?:blocks\.(\d+)\.)?")


def add_optimizer_config(cfg: CfgNode) -> None:
    """Adds ``SOLVER.OPTIMIZER`` and what AdamW needs to a Detectron2 config; the defaults are Detectron2's SGD."""
    cfg.SOLVER.OPTIMIZER = "SGD"
    cfg.SOLVER.ADAM_BETAS = (0.9, 0.999)
    cfg.SOLVER.LAYER_DECAY = 1.0  # learning rate of a ViT's block over that of the next


def check_optimizer(cfg: CfgNode) -> None:
    """Raises UserError if there is no such optimiser, or its settings make no sense together."""
    name, betas, decay = cfg.SOLVER.OPTIMIZER, cfg.SOLVER.ADAM_BETAS, cfg.SOLVER.LAYER_DECAY
    if name not in NOT_READ:
        raise unknown_name("SOLVER.OPTIMIZER", name, NOT_READ)
    if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
        raise UserError(f"SOLVER.ADAM_BETAS is {betas}: give two numbers from 0 up to, but not including, 1")
    if not 0.0 < decay <= 1.0:
        raise UserError(f"SOLVER.LAYER_DECAY is {decay}: give a number above 0 and up to 1, which is no decay")
    if decay != 1.0 and not (name == "AdamW" and is_vit(cfg)):
        raise UserError(
            f"SOLVER.LAYER_DECAY is {decay}, but layer-wise rates are for ViTs with AdamW: set SOLVER.LAYER_DECAY=1.0"
        )


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the config names, over all trained parameters of the model."""
    settings = cfg.SOLVER
    if settings.OPTIMIZER == "SGD":
        return solver.build_optimizer(cfg, model)
    groups = parameter_groups(
        ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad),
        learning_rate=settings.BASE_LR,
        weight_decay=settings.WEIGHT_DECAY,
        layer_decay=settings.LAYER_DECAY,
    )
    return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(groups, lr=settings.BASE_LR, betas=settings.ADAM_BETAS)


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], *, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """One group for each pair of learning rate and weight decay, in the order of the parameters.

    Biases and norms, which are 1-D, the position embedding and the class token do not decay. ViTDet lets biases decay.

    Args:
        parameters: of the whole detector, with their names in it.
        learning_rate: of the layers that are not pre-trained.
        layer_decay: see :func:`rate_factor`.
    """
    named = list(parameters)
    num_blocks = len({match[1] for name, _ in named if (match := VIT_PARAMETER.match(name)) and match[1]})
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        is_weight = parameter.ndim > 1 and name.rpartition(".")[2] not in UNDECAYED
        rate = learning_rate * rate_factor(name, num_blocks=num_blocks, layer_decay=layer_decay)
        groups.setdefault((rate, weight_decay if is_weight else 0.0), []).append(parameter)
    return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]


def rate_factor(name: str, *, num_blocks: int, layer_decay: float) -> float:
    """The learning rate of a parameter over that of the heads: ``layer_decay`` to the power of its distance from them.

    The last block is at distance 1 and the first at ``num_blocks``; patch and position embedding and the class token
    are one further. Pyramid and heads are at 0. As ``get_vit_lr_decay_rate`` in Detectron2's
    ``modeling/backbone/vit.py``, which has no class token.
    """
    match = VIT_PARAMETER.match(name)
    if match is None:
        return 1.0
    return layer_decay ** (num_blocks + 1 if match[1] is None else num_blocks - int(match[1]))
