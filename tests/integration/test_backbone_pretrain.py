"""What pre-training writes is what transfer reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pretrain.distributed import Process
from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.model.twist_model import TwistModel, build_model
from pretrain.recipe import as_dict
from pretrain.run import checkpoint
from tests.backbones import NARROW_VIT, add_narrow_vit
from transfer.weights.backbone import IMAGENET, load_backbone
from twist_common import overrides
from twist_common.errors import UserError
from twist_configs.pretrain.demo import demo


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


@pytest.mark.parametrize("rule", ["official", "timm"])
def test_export_of_a_vit_says_how_positions_were_resampled(
    rule: str, model: TwistModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_narrow_vit(monkeypatch)
    small = (f"model.backbone={NARROW_VIT}", "model.hidden=8", "model.num_classes=4", "model.bunch_size=none")
    recipe = overrides.apply(demo(), [*small, f"model.position_resampling={rule}"])
    path = tmp_path / "backbone.pth"
    checkpoint.export_backbone(path, build_model(recipe, Process(torch.device("cpu"))), recipe)
    content = checkpoint.load(path)
    assert content["preprocessing"]["position_resampling"] == content["recipe"]["model"]["position_resampling"] == rule
    assert load_backbone(path).arch == NARROW_VIT
    checkpoint.export_backbone(path, model, demo())
    assert "position_resampling" not in checkpoint.load(path)["preprocessing"]


def test_checkpoint_from_before_the_resampling_was_a_setting_is_refused_by_its_name(tmp_path: Path) -> None:
    recipe = demo()
    before = as_dict(recipe)
    del before["model"]["position_resampling"]
    checkpoint.save(tmp_path / "checkpoint.pth", {"recipe": before, "recipe_sha256": "of another version"})
    with pytest.raises(UserError, match=r"another recipe \(model.position_resampling None -> official\): repeat"):
        checkpoint.load_for_resume(tmp_path, recipe)
