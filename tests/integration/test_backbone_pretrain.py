"""What pre-training writes is what transfer reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from configs.pretrain.demo import demo
from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.model.twist_model import TwistModel
from pretrain.run import checkpoint
from transfer.weights.backbone import IMAGENET, load_backbone


@pytest.fixture(scope="module")
def model() -> TwistModel:
    config = demo().model
    backbone = build_backbone(config.backbone)
    return TwistModel(backbone, ProjectionHead(backbone.num_features, config.hidden, config.num_classes))


@pytest.mark.parametrize("kind", ["checkpoint", "backbone"])
def test_backbone_and_head_come_back_as_they_were_pre_trained(kind: str, model: TwistModel, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.pth"
    if kind == "backbone":
        checkpoint.export_backbone(path, model, demo())
    else:
        checkpoint.save(path, {"arch": demo().model.backbone, "model": checkpoint.plain_state(model), "optimizer": {}})
    backbone = load_backbone(path)
    assert (backbone.source_format, backbone.arch) == (f"twist-transfer {kind}", demo().model.backbone)
    assert backbone.preprocessing == IMAGENET
    for key, tensor in model.backbone.state_dict().items():
        assert torch.equal(backbone.state_dict[key], tensor), key
    assert backbone.head is not None and backbone.head_config is not None
    head = ProjectionHead(**backbone.head_config)
    head.load_state_dict(backbone.head, strict=True)
    features = torch.randn(8, model.backbone.num_features, generator=torch.Generator().manual_seed(0))
    model.head.eval(), head.eval()
    with torch.inference_mode():
        assert torch.equal(head(features), model.head(features))
