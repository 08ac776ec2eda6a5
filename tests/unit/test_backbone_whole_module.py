"""Modules that were pickled whole say what their layers are set to, which no tensor shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

from tests.unit.test_backbone_writers import SAID, save
from transfer.weights.backbone import load_backbone
from twist_common.errors import UserError


def small_net() -> nn.Module:
    return nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])


@pytest.mark.parametrize(
    "module",
    [
        torchvision.models.resnet18,
        small_net,
        lambda: timm.create_model("resnet18"),
        lambda: nn.DataParallel(small_net()),
    ],
)
def test_whole_module_of_a_known_network_is_taken(module: Callable[[], nn.Module], tmp_path: Path) -> None:
    network = module()
    backbone = load_backbone(save({"model": network, "epoch": 3}, tmp_path), reading=SAID)
    assert torch.equal(backbone.state_dict["conv1.weight"], next(network.parameters()))


OTHER_LAYERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "epsilon": (
        lambda: torchvision.models.resnet18(norm_layer=functools.partial(nn.BatchNorm2d, eps=1e-3)),
        "whose bn1 has eps 0.001, where a resnet18 has 1e-05",
    ),
    "dilated": (
        lambda: torchvision.models.resnet50(replace_stride_with_dilation=[False, False, True]),
        r"whose layer4\.0 has stride 1, where a resnet50 has 2",
    ),
    "blurred": (lambda: timm.create_model("resnetblur18"), r"whose layer2\.0\.conv1 has stride \(1, 1\).*--arch"),
    "heads": (
        lambda: timm.create_model("vit_tiny_patch16_224", num_heads=4),
        r"whose blocks\.0\.attn has num_heads 4, where a vit_tiny_patch16_224 has 3",
    ),
}


@pytest.mark.parametrize("what", OTHER_LAYERS)
def test_whole_module_that_computes_something_else_is_refused(what: str, tmp_path: Path) -> None:
    module, says = OTHER_LAYERS[what]
    path = save(module(), tmp_path)
    with pytest.raises(UserError, match=says):
        load_backbone(path, reading=SAID)
    if what == "blurred":
        assert load_backbone(path, arch="resnetblur18").arch == "resnetblur18"
