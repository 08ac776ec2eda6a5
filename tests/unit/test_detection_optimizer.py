"""Optimisers of detection: what a step does to each layer."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from transfer import benchmarks
from transfer.tasks.detection.config import protocol_config
from transfer.tasks.detection.optimizer import build_optimizer


class Detector(nn.Module):
    """A network of two blocks at the place that a detector has it, and one parameter that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        network = nn.Module()
        network.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        network.group_matcher = lambda coarse: {"blocks": r"^blocks\.(\d+)"}
        self.backbone = nn.Module()
        self.backbone.bottom_up = nn.Module()
        self.backbone.bottom_up.network = network
        self.head = nn.Linear(2, 2)
        self.fixed = nn.Parameter(torch.zeros(2, 2), requires_grad=False)


def protocol(name: str) -> Any:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    cfg.MODEL.NETWORK.ARCH = "resnet50"  # by stage: two
    return cfg


def test_an_adamw_step_moves_each_layer_at_its_own_rate() -> None:
    """Adam's first step is the learning rate, whatever the gradient; weights decay by rate x decay on top."""
    cfg = protocol("voc-any")
    model = Detector()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    optimizer = build_optimizer(cfg, model)
    assert isinstance(optimizer, torch.optim.AdamW)
    sum(parameter.sum() for parameter in model.parameters() if parameter.requires_grad).backward()
    optimizer.step()
    blocks = model.backbone.bottom_up.network.blocks
    for layer, factor in ((blocks[0], 0.49), (blocks[1], 0.7), (model.head, 1.0)):
        rate = 1e-4 * factor
        torch.testing.assert_close(layer.bias, torch.full((2,), 1 - rate), rtol=0, atol=1e-7)
        torch.testing.assert_close(layer.weight, torch.full((2, 2), 1 - 1.1 * rate), rtol=0, atol=1e-7)
    assert torch.equal(model.fixed, torch.ones(2, 2))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_adamw_is_one_kernel(device: str) -> None:
    cfg = protocol_config(benchmarks.get("demo-voc").config_path, device=device)
    assert build_optimizer(cfg, Detector()).defaults["fused"] is True


def test_gradients_are_clipped_with_adamw_too() -> None:
    cfg = protocol("voc-any")
    cfg.merge_from_list(["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm"])
    model = Detector()
    (1e6 * model.head.weight.sum()).backward()
    build_optimizer(cfg, model).step()
    assert math.isclose(model.head.weight.grad.norm().item(), 1.0, rel_tol=1e-5)


@pytest.mark.parametrize("name", ["voc", "coco-c4", "coco-frozen"])
def test_resnets_keep_detectron2s_sgd(name: str) -> None:
    from detectron2 import solver

    cfg = protocol(name)
    model = Detector()
    ours, theirs = (
        build(cfg, model).state_dict()["param_groups"] for build in (build_optimizer, solver.build_optimizer)
    )
    assert ours == theirs and ours[0]["momentum"] == 0.9


def test_adamw_without_layer_decay_is_for_any_detector() -> None:
    cfg = protocol("voc")
    cfg.SOLVER.OPTIMIZER = "AdamW"
    groups = build_optimizer(cfg, Detector()).param_groups
    assert {group["lr"] for group in groups} == {cfg.SOLVER.BASE_LR} and len(groups) == 2
