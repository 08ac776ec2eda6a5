"""Optimisers of detection: which parameter learns at which rate, and which does not decay."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from transfer import benchmarks
from transfer.tasks.detection.config import protocol_config
from transfer.tasks.detection.optimizer import build_optimizer, parameter_groups, rate_factor

VIT = "backbone.bottom_up.vit"


@pytest.mark.parametrize(
    ("name", "power"),
    [
        (f"{VIT}.pos_embed", 13),
        (f"{VIT}.cls_token", 13),
        (f"{VIT}.patch_embed.proj.weight", 13),
        (f"{VIT}.blocks.0.norm1.weight", 12),
        (f"{VIT}.blocks.2.attn.qkv.weight", 10),
        (f"{VIT}.blocks.11.mlp.fc2.bias", 1),
        ("backbone.vit.blocks.11.mlp.fc2.bias", 1),  # the bare ViT
        ("backbone.p2.0.weight", 0),
        ("proposal_generator.rpn_head.conv.weight", 0),
        ("roi_heads.box_head.fc1.weight", 0),
    ],
)
def test_the_further_from_the_heads_the_slower_a_layer_learns(name: str, power: int) -> None:
    assert rate_factor(name, num_blocks=12, layer_decay=0.7) == pytest.approx(0.7**power)


def test_biases_norms_and_tokens_do_not_decay_and_every_parameter_is_in_one_group() -> None:
    weight, table = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(1, 5, 2))
    parameters = {
        f"{VIT}.pos_embed": table,
        f"{VIT}.cls_token": nn.Parameter(torch.zeros(1, 1, 2)),
        f"{VIT}.blocks.0.norm1.weight": nn.Parameter(torch.zeros(2)),
        f"{VIT}.blocks.0.attn.qkv.weight": weight,
        f"{VIT}.blocks.0.attn.qkv.bias": nn.Parameter(torch.zeros(2)),
        f"{VIT}.blocks.1.attn.qkv.weight": nn.Parameter(torch.zeros(2, 2)),
        "backbone.p4.1.norm.weight": nn.Parameter(torch.zeros(2)),
        "roi_heads.box_head.fc1.weight": nn.Parameter(torch.zeros(2, 2)),
        "roi_heads.box_head.fc1.bias": nn.Parameter(torch.zeros(2)),
    }
    groups = parameter_groups(parameters.items(), learning_rate=2.0, weight_decay=0.1, layer_decay=0.5)
    names = {id(parameter): name for name, parameter in parameters.items()}
    found = [(group["lr"], group["weight_decay"], [names[id(p)] for p in group["params"]]) for group in groups]
    assert found == [  # two blocks: 2 x 0.5^3 for embeddings, 2 x 0.5^2 and 2 x 0.5 for the blocks
        (0.25, 0.0, [f"{VIT}.pos_embed", f"{VIT}.cls_token"]),
        (0.5, 0.0, [f"{VIT}.blocks.0.norm1.weight", f"{VIT}.blocks.0.attn.qkv.bias"]),
        (0.5, 0.1, [f"{VIT}.blocks.0.attn.qkv.weight"]),
        (1.0, 0.1, [f"{VIT}.blocks.1.attn.qkv.weight"]),
        (2.0, 0.0, ["backbone.p4.1.norm.weight", "roi_heads.box_head.fc1.bias"]),
        (2.0, 0.1, ["roi_heads.box_head.fc1.weight"]),
    ]


class TwoBlocks(nn.Module):
    """The names of a detector on a ViT of two blocks, and one parameter that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        vit = nn.Module()
        vit.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.backbone = nn.Module()
        self.backbone.bottom_up = nn.Module()
        self.backbone.bottom_up.vit = vit
        self.head = nn.Linear(2, 2)
        self.fixed = nn.Parameter(torch.zeros(2, 2), requires_grad=False)


def test_an_adamw_step_moves_each_layer_at_its_own_rate() -> None:
    """Adam's first step is the learning rate, whatever the gradient; weights decay by rate x decay on top."""
    cfg = protocol_config(benchmarks.get("voc-vit-b").config_path, device="cpu")
    model = TwoBlocks()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    optimizer = build_optimizer(cfg, model)
    assert isinstance(optimizer, torch.optim.AdamW)
    sum(parameter.sum() for parameter in model.parameters() if parameter.requires_grad).backward()
    optimizer.step()
    blocks = model.backbone.bottom_up.vit.blocks
    for layer, factor in ((blocks[0], 0.49), (blocks[1], 0.7), (model.head, 1.0)):
        rate = 1e-4 * factor
        torch.testing.assert_close(layer.bias, torch.full((2,), 1 - rate), rtol=0, atol=1e-7)
        torch.testing.assert_close(layer.weight, torch.full((2, 2), 1 - 1.1 * rate), rtol=0, atol=1e-7)
    assert torch.equal(model.fixed, torch.ones(2, 2))


def test_gradients_are_clipped_with_adamw_too() -> None:
    cfg = protocol_config(benchmarks.get("voc-vit-b").config_path, device="cpu")
    cfg.merge_from_list(["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm"])
    model = TwoBlocks()
    (1e6 * model.head.weight.sum()).backward()
    build_optimizer(cfg, model).step()
    assert math.isclose(model.head.weight.grad.norm().item(), 1.0, rel_tol=1e-5)


@pytest.mark.parametrize("name", ["voc", "coco-c4", "demo-voc"])
def test_resnets_keep_detectron2s_sgd(name: str) -> None:
    from detectron2 import solver

    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    model = TwoBlocks()
    ours, theirs = (
        build(cfg, model).state_dict()["param_groups"] for build in (build_optimizer, solver.build_optimizer)
    )
    assert ours == theirs and ours[0]["momentum"] == 0.9
