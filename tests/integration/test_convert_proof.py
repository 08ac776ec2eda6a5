"""The proof in the real frameworks: right conversions differ by nothing, wrong ones are caught and leave no file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import trained_like
from transfer.weights.backbone import IMAGENET, Backbone
from transfer.weights.backbone.architecture import RESNETS, expected_shapes
from transfer.weights.backbone.naming import Naming
from transfer.weights.convert.convert import RESNET_TARGETS, convert, read_proofs
from transfer.weights.convert.proof import prove
from transfer.weights.convert.target import ConversionError, check_same_shapes, check_same_tensors, key_table
from twist_common.files import sha256_file

pytestmark = pytest.mark.usefixtures("one_thread")

STAGES = RESNETS["resnet18"].stages
FRAMEWORKS = ["detectron2", "mmseg"]
LIBRARIES = ["torchvision", "timm"]


@pytest.fixture(scope="module")
def resnet18() -> Backbone:
    return trained_like("resnet18")


@pytest.fixture(scope="module")
def resnet50() -> Backbone:
    return trained_like("resnet50")


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
@pytest.mark.parametrize("target", FRAMEWORKS)
def test_framework_computes_the_sources_features_at_every_stage(
    target: str, arch: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    result = convert(request.getfixturevalue(arch), RESNET_TARGETS[target], tmp_path, "weights")
    differences = {stage: result.proof["stages"][stage]["max_abs_difference"] for stage in STAGES}
    assert max(differences.values()) <= 1e-5, differences
    assert result.sha256 == sha256_file(result.path)
    assert read_proofs(result.proof_path) == {target: result.proof}


@pytest.mark.parametrize("arch", RESNETS)
def test_detectron2_names_and_shapes_every_tensor_as_the_key_table_does(arch: str) -> None:
    from transfer.weights.convert.detectron2 import build_resnet

    with torch.device("meta"):
        model = build_resnet(settings_with("detectron2", arch))
    file = key_table(RESNET_TARGETS["detectron2"], arch).forward(meta_state(arch))
    check_same_shapes(model.state_dict(), file, "Detectron2")


@pytest.mark.parametrize("arch", RESNETS)
def test_mmseg_names_and_shapes_every_tensor_as_the_key_table_does(arch: str) -> None:
    from transfer.weights.convert.mmseg import build

    with torch.device("meta"):
        model = build(settings_with("mmseg", arch))
    check_same_shapes(model.state_dict(), key_table(RESNET_TARGETS["mmseg"], arch).forward(meta_state(arch)), "mmseg")


def meta_state(arch: str) -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in expected_shapes(arch).items()}


@pytest.mark.parametrize("target", LIBRARIES)
def test_library_computes_the_sources_features_at_every_stage(target: str, resnet50: Backbone, tmp_path: Path) -> None:
    result = convert(resnet50, RESNET_TARGETS[target], tmp_path, "weights")
    assert max(result.proof["stages"][stage]["max_abs_difference"] for stage in STAGES) <= 1e-5


# ---- what the proof must catch ---------------------------------------------------------------------


def settings_with(target: str, arch: str, **changes: Any) -> dict[str, Any]:
    settings = RESNET_TARGETS[target].default_settings(arch, IMAGENET)
    assert changes.keys() <= settings.keys()
    return {**settings, **changes}


def assert_nothing_written(folder: Path) -> None:
    assert not list(folder.iterdir())


def test_stride_in_1x1_is_caught_in_detectron2(resnet50: Backbone, tmp_path: Path) -> None:
    settings = settings_with("detectron2", "resnet50", stride_in_1x1=True)
    with pytest.raises(ConversionError, match="features of res3 differ from the source's by"):
        convert(resnet50, RESNET_TARGETS["detectron2"], tmp_path, "weights", settings)
    assert_nothing_written(tmp_path)


def test_caffe_style_is_caught_in_mmseg(resnet50: Backbone, tmp_path: Path) -> None:
    settings = settings_with("mmseg", "resnet50", style="caffe")
    with pytest.raises(ConversionError, match="features of res3 differ from the source's by"):
        convert(resnet50, RESNET_TARGETS["mmseg"], tmp_path, "weights", settings)
    assert_nothing_written(tmp_path)


def test_v1c_stem_is_caught_in_mmseg(resnet18: Backbone, tmp_path: Path) -> None:
    settings = settings_with("mmseg", "resnet18", type="ResNetV1c")
    with pytest.raises(ConversionError, match=r"lack \d+ keys of its backbone, first 'stem\.0\.weight'"):
        convert(resnet18, RESNET_TARGETS["mmseg"], tmp_path, "weights", settings)
    assert_nothing_written(tmp_path)


def test_dilation_is_caught_in_detectron2(resnet50: Backbone, tmp_path: Path) -> None:
    settings = settings_with("detectron2", "resnet50", res5_dilation=2)
    with pytest.raises(ConversionError, match="feature map of res5 is"):
        convert(resnet50, RESNET_TARGETS["detectron2"], tmp_path, "weights", settings)
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        ("detectron2", {"input_format": "BGR"}),
        ("detectron2", {"pixel_mean": [103.53, 116.28, 123.675]}),  # Detectron2's default, for BGR
        ("detectron2", {"pixel_std": [1.0, 1.0, 1.0]}),  # as in Caffe2's models
        ("mmseg", {"bgr_to_rgb": False}),
        ("mmseg", {"mean": [127.5, 127.5, 127.5]}),
        ("mmseg", {"std": [1.0, 1.0, 1.0]}),
        ("torchvision", {"mean": [0.5, 0.5, 0.5]}),
        ("timm", {"std": [0.5, 0.5, 0.5]}),
    ],
)
def test_images_fed_in_another_way_are_caught(
    target: str, changes: dict[str, Any], resnet18: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=f"feed the backbone other images: {next(iter(changes))}"):
        convert(resnet18, RESNET_TARGETS[target], tmp_path, "weights", settings_with(target, "resnet18", **changes))
    assert_nothing_written(tmp_path)


def prove_changed(target: str, backbone: Backbone, folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Writes ``state`` in place of the backbone's, then asks for the proof."""
    chosen, table = RESNET_TARGETS[target], key_table(RESNET_TARGETS[target], backbone.arch)
    path = folder / f"weights.{chosen.suffix}"
    chosen.write(path, table.forward(state), backbone)
    prove(backbone, chosen, table, path, chosen.default_settings(backbone.arch, backbone.preprocessing))


@pytest.mark.parametrize("target", FRAMEWORKS)
def test_stem_with_swapped_colours_is_caught(target: str, resnet18: Backbone, tmp_path: Path) -> None:
    state = dict(resnet18.state_dict)
    state["conv1.weight"] = state["conv1.weight"].flip(1).contiguous()
    with pytest.raises(ConversionError, match="features of stem differ"):
        prove_changed(target, resnet18, tmp_path, state)


@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize("key", ["layer3.0.downsample.1.running_mean", "conv1.weight", "layer4.1.conv2.weight"])
def test_dropped_key_is_caught(target: str, key: str, resnet18: Backbone, tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in resnet18.state_dict.items() if name != key}
    name = RESNET_TARGETS[target].rename(key)
    with pytest.raises(ConversionError, match=f"lack 1 keys of its backbone, first '{name}'"):
        prove_changed(target, resnet18, tmp_path, state)


@pytest.mark.parametrize("target", FRAMEWORKS)
@pytest.mark.parametrize(
    ("one", "other", "stage"),
    [
        ("layer1.0.conv1.weight", "layer1.0.conv2.weight", "res2"),
        ("layer3.0.bn2.running_mean", "layer3.1.bn2.running_mean", "res4"),
        ("layer4.1.bn2.weight", "layer4.1.bn2.running_var", "res5"),
    ],
)
def test_permuted_keys_are_caught_at_their_stage(
    target: str, one: str, other: str, stage: str, resnet18: Backbone, tmp_path: Path
) -> None:
    state = dict(resnet18.state_dict)
    state[one], state[other] = state[other], state[one]
    with pytest.raises(ConversionError, match=f"features of {stage} differ"):
        prove_changed(target, resnet18, tmp_path, state)


@pytest.mark.parametrize("target", RESNET_TARGETS)
def test_teacher_in_the_place_of_the_student_is_caught(target: str, resnet18: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="features of stem differ"):
        prove_changed(target, resnet18, tmp_path, trained_like("resnet18", seed=1).state_dict)


def test_wrong_key_table_is_caught_and_leaves_nothing(resnet18: Backbone, tmp_path: Path) -> None:
    one, other = "layer2.0.bn1.bias", "layer2.0.bn2.bias"
    permuted = Naming(((one, other), (other, one), ("{p}", "{p}")))
    with pytest.raises(ConversionError, match="features of res3 differ"):
        convert(resnet18, dataclasses.replace(RESNET_TARGETS["mmseg"], naming=permuted), tmp_path, "weights")
    assert_nothing_written(tmp_path)


def test_difference_of_a_few_millionths_in_one_weight_is_caught(resnet18: Backbone, tmp_path: Path) -> None:
    state = dict(resnet18.state_dict)
    state["layer1.0.bn1.bias"] = state["layer1.0.bn1.bias"] + 1e-4
    with pytest.raises(ConversionError, match="features of res2 differ"):
        prove_changed("torchvision", resnet18, tmp_path, state)


def test_dead_network_proves_nothing(resnet18: Backbone, tmp_path: Path) -> None:
    dead = {key: torch.zeros_like(tensor) for key, tensor in resnet18.state_dict.items()}
    with pytest.raises(ConversionError, match="features at stem are all zero"):
        convert(dataclasses.replace(resnet18, state_dict=dead), RESNET_TARGETS["torchvision"], tmp_path, "weights")
    assert_nothing_written(tmp_path)


# ---- whole detectors -------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["fpn", "c4"])
def test_stock_detector_takes_every_tensor_from_model_weights(layout: str, resnet50: Backbone, tmp_path: Path) -> None:
    from transfer.tasks.detection.weights import backbone_tensors, load_backbone_weights
    from transfer.weights.convert.detectron2 import read

    path = tmp_path / "weights.pkl"
    RESNET_TARGETS["detectron2"].write(
        path, key_table(RESNET_TARGETS["detectron2"], "resnet50").forward(resnet50.state_dict), resnet50
    )
    detector = stock_detector(layout)
    with pytest.raises(ConversionError, match="was not loaded"):
        check_same_tensors(backbone_tensors(detector), read(path), "Detectron2")
    load_backbone_weights(detector, path)
    check_same_tensors(backbone_tensors(detector), read(path), "Detectron2")


def stock_detector(layout: str) -> torch.nn.Module:
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()  # its defaults are Faster R-CNN R50-C4
    cfg.MODEL.DEVICE = "cpu"
    if layout == "fpn":
        cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
        cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
        cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
        cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
        cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
        cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
        cfg.MODEL.ROI_BOX_HEAD.NUM_FC, cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 1, 16
    return build_model(cfg)
