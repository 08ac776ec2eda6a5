"""The optimisers of detection: Detectron2's SGD, the only one of 0.6, and AdamW with layer-wise learning rates."""

from __future__ import annotations

import torch
from detectron2 import solver
from detectron2.config import CfgNode
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from transfer.tasks.detection.model import takes_any
from transfer.weights.backbone.layers import parameter_groups
from twist_common.errors import UserError, unknown_name

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


def add_optimizer_config(cfg: CfgNode) -> None:
    """Adds ``SOLVER.OPTIMIZER`` and what AdamW needs to a Detectron2 config; the defaults are Detectron2's SGD."""
    cfg.SOLVER.OPTIMIZER = "SGD"
    cfg.SOLVER.ADAM_BETAS = (0.9, 0.999)
    cfg.SOLVER.LAYER_DECAY = 1.0  # learning rate of a layer over that of the next


def check_optimizer(cfg: CfgNode) -> None:
    """Raises UserError if there is no such optimiser, or its settings make no sense together."""
    name, betas, decay = cfg.SOLVER.OPTIMIZER, cfg.SOLVER.ADAM_BETAS, cfg.SOLVER.LAYER_DECAY
    if name not in NOT_READ:
        raise unknown_name("SOLVER.OPTIMIZER", name, NOT_READ)
    if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
        raise UserError(f"SOLVER.ADAM_BETAS is {betas}: give two numbers from 0 up to, but not including, 1")
    if not 0.0 < decay <= 1.0:
        raise UserError(f"SOLVER.LAYER_DECAY is {decay}: give a number above 0 and up to 1, which is no decay")
    if decay != 1.0 and not (name == "AdamW" and takes_any(cfg)):
        raise UserError(
            f"SOLVER.LAYER_DECAY is {decay}, but layer-wise rates are for AdamW and protocols that take any network: "
            "set SOLVER.LAYER_DECAY=1.0"
        )


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the config names, over all trained parameters of the model."""
    settings = cfg.SOLVER
    if settings.OPTIMIZER == "SGD":
        return solver.build_optimizer(cfg, model)
    groups = parameter_groups(
        model,
        model.get_submodule("backbone.bottom_up.network") if takes_any(cfg) else nn.Module(),
        cfg.MODEL.NETWORK.ARCH,
        learning_rate=settings.BASE_LR,
        weight_decay=settings.WEIGHT_DECAY,
        layer_decay=settings.LAYER_DECAY,
    )
    optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
    # fused: torch's default is a loop over the parameters on CPUs, six times slower, and several kernels on GPUs
    return optimizer(groups, lr=settings.BASE_LR, betas=settings.ADAM_BETAS, fused=True)
