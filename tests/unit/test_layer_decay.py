"""Layer-wise learning rates of any network: which parameter learns at which rate, and which does not decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transfer.weights.backbone.layers import parameter_groups, rate_factors
from transfer.weights.backbone.network import build_dense_network, build_network


def on_meta(arch: str) -> nn.Module:
    with torch.device("meta"):
        return build_dense_network(arch)


@pytest.mark.parametrize(
    ("arch", "powers"),
    [
        (
            "vit_base",
            {"pos_embed": 13, "patch_embed.proj.weight": 13, "blocks.0.norm1.weight": 12, "blocks.11.norm2.bias": 1},
        ),
        ("vit_base", {"blocks.2.attn.qkv.weight": 10, "blocks.11.mlp.fc2.bias": 1}),
        ("vit_small_patch14_reg4_dinov2", {"reg_token": 13, "blocks.0.ls1.gamma": 12, "blocks.11.ls2.gamma": 1}),
        ("vit_large_patch16_224", {"cls_token": 12.5, "blocks.0.norm1.weight": 12, "blocks.23.norm1.weight": 0.5}),
        ("resnet50", {"conv1.weight": 5, "bn1.bias": 5, "layer1.2.conv3.weight": 4, "layer4.0.conv1.weight": 1}),
        ("resnet152", {"conv1.weight": 5, "layer3.0.conv1.weight": 2, "layer3.35.conv1.weight": 2}),
        ("caformer_s18", {"stem.conv.weight": 5, "stages.3.blocks.0.token_mixer.qkv.weight": 1}),
    ],
)
def test_the_further_from_the_heads_the_slower_a_layer_learns(arch: str, powers: dict[str, float]) -> None:
    factors = rate_factors(on_meta(arch), arch, 0.7)
    assert {name: factors[name] for name in powers} == pytest.approx({k: 0.7**power for k, power in powers.items()})


def test_biases_norms_and_tokens_do_not_decay_and_every_parameter_is_in_one_group() -> None:
    model = nn.Module()
    model.network, model.head = on_meta("test_vit"), nn.Linear(2, 2)
    model.fixed = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    groups = parameter_groups(
        model, model.network, "test_vit", learning_rate=2.0, weight_decay=0.1, layer_decay=0.5**0.5
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    of = {names[id(p)]: (round(group["lr"], 9), group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(of)
    assert of.keys() == set(names.values()) - {"fixed"}
    # six blocks, which are two of a ViT-B's each: sqrt(0.5)^2 is 0.5
    assert of["network.pos_embed"] == of["network.cls_token"] == (round(2 * 0.5**7, 9), 0.0)
    assert of["network.patch_embed.proj.weight"] == (round(2 * 0.5**7, 9), 0.1)
    assert of["network.blocks.0.attn.qkv.weight"] == (round(2 * 0.5**6, 9), 0.1)
    assert of["network.blocks.5.norm1.weight"] == of["network.blocks.5.attn.qkv.bias"] == (1.0, 0.0)
    assert of["head.weight"] == (2.0, 0.1) and of["head.bias"] == (2.0, 0.0)


@pytest.mark.parametrize("arch", ["test_vit", "convnext_atto", "test_efficientnet"])
def test_a_dense_network_has_no_parameter_without_gradient_and_the_same_maps(arch: str) -> None:
    torch.manual_seed(0)
    dense, whole = build_dense_network(arch).eval(), build_network(arch).eval()
    whole.load_state_dict(dense.state_dict(), strict=False)
    maps, images = [], torch.randn(1, 3, 64, 96)
    for network in (dense, whole):
        maps.append(network.forward_stages(images))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*(each.values() for each in maps), strict=True))
    sum(each.square().sum() for each in maps[0].values()).backward()
    assert [name for name, parameter in dense.named_parameters() if parameter.grad is None] == []
    assert whole.state_dict().keys() > dense.state_dict().keys()


def test_tables_of_relative_positions_do_not_decay() -> None:
    arch = "beit_base_patch16_224"
    network = on_meta(arch)
    groups = parameter_groups(network, network, arch, learning_rate=1.0, weight_decay=0.1, layer_decay=1.0)
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    named = dict(network.named_parameters())
    assert decays[id(named["blocks.0.attn.relative_position_bias_table"])] == 0.0
    assert decays[id(named["blocks.0.attn.proj.weight"])] == 0.1
