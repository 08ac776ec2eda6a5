"""Vision transformers: the proof in the real frameworks, and what it must catch in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import NARROW_VIT, trained_like
from transfer.weights.backbone import IMAGENET, Backbone
from transfer.weights.backbone.architecture import expected_shapes
from transfer.weights.convert.convert import VIT_TARGETS, convert, get_target
from transfer.weights.convert.mmseg import resample_position
from transfer.weights.convert.mmseg import vit_settings_of as mmseg_settings_of
from transfer.weights.convert.proof import prove, verify_proof
from transfer.weights.convert.target import ConversionError, key_table
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("narrow_vit")

PREPROCESSOR = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}


@pytest.fixture(scope="module")
def vit(narrow_vit: None) -> Backbone:
    return trained_like(NARROW_VIT)


def settings_with(target: str, **changes: Any) -> dict[str, Any]:
    settings = get_target(target, NARROW_VIT).default_settings(NARROW_VIT, IMAGENET)
    assert changes.keys() <= settings.keys()
    return {**settings, **changes}


@pytest.mark.parametrize("target", VIT_TARGETS)
def test_framework_computes_the_features_of_deit_small_at_every_stage(target: str, tmp_path: Path) -> None:
    result = convert(trained_like("deit_small"), VIT_TARGETS[target], tmp_path, "weights")
    assert list(result.proof["stages"]) == ["block3", "block6", "block9", "block12"]
    limit = 1e-12 if VIT_TARGETS[target].double else 0.0  # the same operations, or the same in another order
    assert max(stage["max_abs_difference"] for stage in result.proof["stages"].values()) <= limit


def test_torchvisions_vit_b_16_is_vit_base() -> None:
    import torchvision

    with torch.device("meta"):
        model = torchvision.models.vit_b_16(weights=None)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items() if not key.startswith("heads.")}
    assert key_table(VIT_TARGETS["torchvision"], "vit_base").forward(expected_shapes("vit_base")) == shapes


def test_mmsegs_position_embedding_is_resampled_by_mmsegs_rule() -> None:
    from mmseg.models.backbones import VisionTransformer

    position = torch.randn(1, 197, 8, generator=torch.Generator().manual_seed(0))
    for grid in ((7, 7), (14, 14), (32, 32), (20, 11)):
        expected = VisionTransformer.resize_pos_embed(position, grid, (14, 14), "bicubic")
        torch.testing.assert_close(resample_position(position, grid), expected, rtol=0, atol=1e-6)


# ---- what the proof must catch ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        ("mmseg", {"num_heads": 6}),  # no tensor's shape tells it
        ("mmseg", {"patch_bias": False}),  # mmseg's default
        ("mmseg", {"interpolate_mode": "bilinear"}),
        ("mmseg", {"norm_cfg": {"type": "LN", "eps": 1e-3}}),
        ("mmseg", {"act_cfg": {"type": "ReLU"}}),
        ("timm", {"num_heads": 6}),
        ("torchvision", {"num_heads": 6}),
        ("mmseg", {"bgr_to_rgb": False}),
        ("mmseg", {"std": [127.5, 127.5, 127.5]}),
        ("detectron2-any", {"input_format": "BGR"}),
        ("detectron2-any", {"pixel_mean": [127.5, 127.5, 127.5]}),
        ("timm", {"mean": [0.5, 0.5, 0.5]}),
    ],
)
def test_another_network_or_other_images_are_caught_and_leave_nothing(
    target: str, changes: dict[str, Any], vit: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=r"features of block\d differ|other images|no place for"):
        convert(vit, get_target(target, NARROW_VIT), tmp_path, "weights", settings_with(target, **changes))
    assert not list(tmp_path.iterdir())


def prove_changed(target: str, backbone: Backbone, folder: Path, state: dict[str, torch.Tensor]) -> None:
    chosen = get_target(target, backbone.arch)
    table = key_table(chosen, backbone.arch)
    path = folder / f"weights.{chosen.suffix}"
    chosen.write(path, table.forward(state), backbone)
    prove(backbone, chosen, table, path, chosen.default_settings(backbone.arch, backbone.preprocessing))


@pytest.mark.parametrize("target", [*VIT_TARGETS, "detectron2-any"])
def test_teacher_in_the_place_of_the_student_is_caught(target: str, vit: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="features of block1 differ"):
        prove_changed(target, vit, tmp_path, trained_like(NARROW_VIT, seed=1).state_dict)


@pytest.mark.parametrize("target", [*VIT_TARGETS, "detectron2-any"])
def test_queries_and_keys_mixed_up_in_one_block_are_caught_there(target: str, vit: Backbone, tmp_path: Path) -> None:
    key = "blocks.2.attn.qkv.weight"
    query, rest = vit.state_dict[key].split([48, 96])
    state = vit.state_dict | {key: torch.cat([rest[:48], query * 1.5, rest[48:]])}
    with pytest.raises(ConversionError, match="features of block3 differ"):
        prove_changed(target, vit, tmp_path, state)


# ---- the proof and the config of a task -------------------------------------------------------------


def mmseg_config(**changes: Any) -> dict[str, Any]:
    return {
        "type": "VisionTransformer",
        "embed_dims": 48,
        "num_layers": 4,
        "num_heads": 3,
        "patch_bias": True,
        "norm_cfg": {"type": "LN", "eps": 1e-6},
        "out_indices": (0, 1, 2, 3),
        "drop_path_rate": 0.1,
        **changes,
    }


def verify_mmseg(vit: Backbone, folder: Path, **changes: Any) -> None:
    result = convert(vit, VIT_TARGETS["mmseg"], folder, "weights")
    settings = mmseg_settings_of({"backbone": mmseg_config(**changes), "data_preprocessor": PREPROCESSOR})
    verify_proof(result.proof, "mmseg", NARROW_VIT, result.sha256, settings)


def test_proof_holds_for_a_plain_mmseg_config(vit: Backbone, tmp_path: Path) -> None:
    verify_mmseg(vit, tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"norm_cfg": {"type": "LN"}}, "norm_cfg"),
        ({"patch_bias": False}, "patch_bias: True -> False"),
        ({"img_size": 512}, "img_size: 224 -> 512"),
        ({"final_norm": True}, "final_norm: False -> True"),
    ],
)
def test_proof_does_not_hold_for_another_mmseg_config(
    changes: dict[str, Any], says: str, vit: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        verify_mmseg(vit, tmp_path, **changes)
