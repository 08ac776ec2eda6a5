"""The official TWIST's class head comes out as ours and computes the same."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from torch import nn

from pretrain.model.head import ProjectionHead
from tests.backbones import flat_state, prefixed
from transfer.weights.backbone import load_backbone


@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_head_computes_what_the_official_one_does(act: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    activation: type[nn.Module] = {"relu": nn.ReLU, "gelu": nn.GELU}[act]
    linears, norms = [nn.Linear(512, 8), nn.Linear(8, 8)], [nn.BatchNorm1d(8), nn.BatchNorm1d(8)]
    projection = nn.Sequential(linears[0], norms[0], activation(), nn.Dropout(0.0), linears[1], norms[1], activation())
    theirs = nn.ModuleDict(
        {"projection_head": projection, "last_linear": nn.Linear(8, 5), "norm": nn.BatchNorm1d(5, affine=False)}
    )
    features = torch.randn(16, 512)
    theirs["norm"](theirs["last_linear"](projection(features)))  # running statistics that matter
    theirs.eval()
    state = flat_state()
    model = prefixed(state, "backbone.") | prefixed(theirs.state_dict(), "projection_heads.")
    checkpoint = {"model": model, "backbone": state, "args": argparse.Namespace(act=act)}
    torch.save(checkpoint, tmp_path / "checkpoint.pth")

    backbone = load_backbone(tmp_path / "checkpoint.pth")
    assert backbone.head is not None and backbone.head_config is not None
    head = ProjectionHead(**backbone.head_config)
    head.load_state_dict(backbone.head, strict=True)
    expected = theirs["norm"](theirs["last_linear"](projection(features)))
    assert torch.equal(head.eval()(features), expected)
