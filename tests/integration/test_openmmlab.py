"""Swin and ConvNeXt as OpenMMLab's frameworks save them become timm's networks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.backbones import flat_state, prefixed
from transfer.compat import prepare_mmseg
from transfer.weights.backbone import IMAGENET, load_backbone
from transfer.weights.backbone.network import build_network


def test_swin_of_openmmlab_has_the_maps_of_its_own_framework(tmp_path: Path) -> None:
    """In a file with a neck, a head, the buffers of its windows and a norm of each map."""
    prepare_mmseg()
    from mmseg.models.backbones.swin import SwinTransformer

    torch.manual_seed(0)
    theirs = SwinTransformer(depths=(2, 2, 6, 2), norm_cfg={"type": "LN"})
    theirs.train(False)  # its train() returns nothing, which eval() passes on
    theirs.stages[3].blocks[1].attn.shift_size = 0  # mmpretrain shifts no map of one window, as the authors; mmseg does
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    state = theirs.state_dict()
    assert any("relative_position_index" in key for key in state)
    others = {"neck.decoder.0.weight": torch.zeros(1), "head.fc.weight": torch.zeros(1)}
    checkpoint = {"meta": {"epoch": 1}, "state_dict": prefixed(state, "backbone.") | others, "optimizer": {}}
    torch.save(checkpoint, tmp_path / "epoch_1.pth")
    backbone = load_backbone(tmp_path / "epoch_1.pth")
    assert (backbone.arch, backbone.source_format) == ("swin_tiny_patch4_window7_224", "OpenMMLab Swin in state_dict")
    ours = build_network(backbone.arch)
    ours.load_state_dict(backbone.state_dict)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = theirs(images)[-1]
        found = ours.eval().forward_features(images).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("arch", ["convnext_tiny", "convnextv2_atto"])
def test_convnext_of_openmmlab_has_its_own_names(arch: str, tmp_path: Path) -> None:
    """github.com/open-mmlab/mmpretrain: models/backbones/convnext.py, with a norm of one map more."""
    state, renamed = flat_state(arch), {}
    for key, value in state.items():
        for pattern, new in (
            (r"^stem\.", "downsample_layers.0."),
            (r"stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
            (r"\.blocks\.", "."),
            ("conv_dw", "depthwise_conv"),
            (r"mlp\.fc", "pointwise_conv"),
            (r"mlp\.grn\.weight", "grn.gamma"),
            (r"mlp\.grn\.bias", "grn.beta"),
            (r"^head\.norm\.", "norm3."),
        ):
            key = re.sub(pattern, new, key)
        renamed[key] = value
    others = {"backbone.norm2.weight": torch.zeros(1), "head.fc.weight": torch.zeros(1)}
    checkpoint = {"meta": {"mmpretrain_version": "1.2.0"}, "state_dict": prefixed(renamed, "backbone.") | others}
    torch.save(checkpoint, tmp_path / "epoch_1.pth")
    backbone = load_backbone(tmp_path / "epoch_1.pth")
    assert (backbone.arch, backbone.source_format) == (arch, "OpenMMLab ConvNeXt in state_dict")
    assert backbone.preprocessing == IMAGENET
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict.items())
