"""What a proof says, and whether it holds for a config that is used later."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.backbones import trained_like
from transfer.weights.backbone import Backbone
from transfer.weights.convert.convert import RESNET_TARGETS, Converted, convert, read_proofs
from transfer.weights.convert.proof import verify_proof
from twist_common.errors import UserError
from twist_common.files import sha256_file

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMEWORKS = ["detectron2", "mmseg"]


@pytest.fixture(scope="module")
def resnet18() -> Backbone:
    return trained_like("resnet18")


@pytest.fixture(scope="module")
def converted(resnet18: Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Converted]:
    """ResNet-18 for both frameworks, in one folder under one name."""
    out = tmp_path_factory.mktemp("converted")
    return {name: convert(resnet18, RESNET_TARGETS[name], out, "r18") for name in FRAMEWORKS}


def test_proof_names_source_weights_keys_and_versions(converted: dict[str, Converted], resnet18: Backbone) -> None:
    proof = converted["detectron2"].proof
    assert proof["source"]["sha256"] == resnet18.sha256
    assert proof["weights_sha256"] == sha256_file(converted["detectron2"].path)
    assert (proof["target"], proof["arch"], proof["colour_order"]) == ("detectron2", "resnet18", "RGB")
    assert len(proof["keys_mapped"]) + sum(map(len, proof["keys_dropped"].values())) == len(resnet18.state_dict)
    assert {"torch", "pb1-detectron2"} <= proof["packages"].keys()
    assert json.loads(json.dumps(proof, allow_nan=False)) == proof


def test_proofs_of_both_frameworks_stand_in_one_file(converted: dict[str, Converted]) -> None:
    assert converted["mmseg"].proof_path == converted["detectron2"].proof_path
    assert read_proofs(converted["mmseg"].proof_path).keys() == set(FRAMEWORKS)


def test_proof_of_another_source_under_the_same_name_is_not_kept(tmp_path: Path) -> None:
    convert(trained_like("resnet18", seed=0), RESNET_TARGETS["torchvision"], tmp_path, "weights")
    result = convert(trained_like("resnet18", seed=1), RESNET_TARGETS["timm"], tmp_path, "weights")
    assert read_proofs(result.proof_path).keys() == {"timm"}


def verify(result: Converted, **changes: Any) -> None:
    arguments = {
        "target": result.proof["target"],
        "arch": result.arch,
        "weights_sha": result.sha256,
        "settings": result.proof["settings"],
    }
    verify_proof(result.proof, **{**arguments, **changes})


def test_proof_holds_for_the_settings_of_a_stock_config(converted: dict[str, Converted]) -> None:
    verify(converted["detectron2"], settings=settings_of("detectron2", detectron2_cfg()))
    backbone = {"type": "ResNet", "depth": 18, "norm_cfg": {"type": "SyncBN"}, "strides": (1, 2, 2, 2)}
    preprocessor = {"mean": (123.675, 116.28, 103.53), "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
    model = {"backbone": backbone, "data_preprocessor": preprocessor}
    verify(converted["mmseg"], settings=settings_of("mmseg", model))


def settings_of(target: str, config: Any) -> dict[str, Any]:
    read = RESNET_TARGETS[target].settings_of
    assert read is not None
    return read(config)


def detectron2_cfg(**changes: Any) -> Any:
    from detectron2.config import get_cfg

    cfg = get_cfg()
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    cfg.INPUT.FORMAT = "RGB"
    cfg.merge_from_list([item for pair in changes.items() for item in (pair[0].replace("__", "."), pair[1])])
    return cfg


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"INPUT__FORMAT": "BGR"}, "input_format: RGB -> BGR"),
        ({"MODEL__PIXEL_STD": [1.0, 1.0, 1.0]}, "pixel_std"),
        ({"MODEL__RESNETS__DEPTH": 34}, "depth: 18 -> 34"),
        ({"MODEL__RESNETS__RES5_DILATION": 2}, "res5_dilation: 1 -> 2"),
    ],
)
def test_proof_does_not_hold_for_another_detectron2_config(
    changes: dict[str, Any], says: str, converted: dict[str, Converted]
) -> None:
    with pytest.raises(UserError, match=says):
        verify(converted["detectron2"], settings=settings_of("detectron2", detectron2_cfg(**changes)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "ResNetV1c"}, "type: ResNet -> ResNetV1c"),
        ({"style": "caffe"}, "style: pytorch -> caffe"),
        ({"dilations": (1, 1, 2, 4)}, "dilations"),
        ({"dcn": {"type": "DCN"}}, "dcn: unset"),
    ],
)
def test_proof_does_not_hold_for_another_mmseg_config(
    changes: dict[str, Any], says: str, converted: dict[str, Converted]
) -> None:
    preprocessor = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "bgr_to_rgb": True}
    model = {"backbone": {"type": "ResNet", "depth": 18, **changes}, "data_preprocessor": preprocessor}
    settings = settings_of("mmseg", model)
    with pytest.raises(UserError, match=says):
        verify(converted["mmseg"], settings=settings)


@pytest.mark.parametrize(
    "changes", [{"target": "mmseg"}, {"arch": "resnet34"}, {"weights_sha": "0" * 64}], ids=lambda c: next(iter(c))
)
def test_proof_does_not_hold_for_other_weights(changes: dict[str, str], converted: dict[str, Converted]) -> None:
    with pytest.raises(UserError, match=f"not '{next(iter(changes.values()))}'"):
        verify(converted["detectron2"], **changes)


def test_proof_whose_stage_is_out_of_tolerance_does_not_hold(converted: dict[str, Converted]) -> None:
    result = converted["detectron2"]
    stages = {**result.proof["stages"], "res4": {**result.proof["stages"]["res4"], "max_abs_difference": 0.1}}
    with pytest.raises(UserError, match=r"features of res4 differ from the source's by 0\.1"):
        verify(dataclasses.replace(result, proof={**result.proof, "stages": stages}))
    del stages["res4"]
    with pytest.raises(UserError, match="says nothing of res4"):
        verify(dataclasses.replace(result, proof={**result.proof, "stages": stages}))
