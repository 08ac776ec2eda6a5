"""Every detection config, from its YAML to a step of training on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.noise_scene import assert_detects, assert_takes_a_step, scene
from transfer import benchmarks
from transfer.tasks.detection.config import protocol_config
from transfer.tasks.detection.model import seeded_model
from transfer.tasks.detection.optimizer import build_optimizer
from transfer.tasks.detection.trainer import make_trainer
from transfer.tasks.detection.weights import backbone_tensors, check_fits, load_backbone_weights
from transfer.weights.backbone import random_backbone
from transfer.weights.convert.convert import Converted, convert, get_target
from transfer.weights.convert.detectron2 import read
from twist_common.errors import UserError

FROZEN = ("voc-frozen", "coco-frozen", "demo-voc-frozen")


@pytest.mark.parametrize("name", ["voc", "coco", "voc-c4", "coco-c4", "demo-voc", "demo-coco", *FROZEN])
def test_config_builds_takes_a_training_step_and_detects(name: str) -> None:
    torch.set_num_threads(1)
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 16  # four convolutions on 512 regions take a minute
    model = seeded_model(cfg, seed=0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert_takes_a_step(cfg, model)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    backbone = {key for key in changed if key.startswith(("backbone.bottom_up.", "backbone.stem", "backbone.res"))}
    if name in FROZEN:
        assert not backbone, "weights and batch statistics stay as they were"
        assert any(key.startswith("backbone.fpn") for key in changed)
    else:
        assert any(key.endswith("stem.conv1.weight") for key in backbone), "nothing is frozen"
        assert any(key.endswith("stem.conv1.norm.running_mean") for key in backbone), "batch statistics are learned"

    assert_detects(cfg, model)


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_paper_models_have_the_published_heads(name: str) -> None:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    keys = seeded_model(cfg, seed=0).state_dict()
    assert {f"roi_heads.box_head.conv{i}.norm.weight" for i in (1, 2, 3, 4)} <= keys.keys()
    assert "roi_heads.box_head.fc1.weight" in keys and "roi_heads.box_head.fc2.weight" not in keys
    assert {
        f"backbone.fpn_{kind}{i}.norm.weight" for kind in ("lateral", "output") for i in (2, 3, 4, 5)
    } <= keys.keys()
    assert ("roi_heads.mask_head.mask_fcn1.norm.weight" in keys) == (name == "coco")


def test_heads_are_the_same_for_the_same_seed_whatever_was_drawn_before() -> None:
    cfg = protocol_config(benchmarks.get("demo-coco").config_path, device="cpu")
    first = seeded_model(cfg, seed=3).state_dict()
    torch.rand(7)
    second, other = seeded_model(cfg, seed=3).state_dict(), seeded_model(cfg, seed=4).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(
        first["roi_heads.box_predictor.cls_score.weight"], other["roi_heads.box_predictor.cls_score.weight"]
    )


@pytest.mark.parametrize("name", ["demo-voc", "voc-c4"])
def test_a_converted_backbone_is_loaded_whole_wherever_the_detector_keeps_it(name: str, tmp_path: Path) -> None:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    arch = f"resnet{cfg.MODEL.RESNETS.DEPTH}"
    assert_loaded(cfg, random_backbone(arch, seed=4), tmp_path)


@pytest.fixture(scope="module")
def converted_resnet50(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    backbone = random_backbone("resnet50", seed=4)
    return convert(backbone, get_target("detectron2", "resnet50"), tmp_path_factory.mktemp("weights"), "weights")


@pytest.mark.parametrize("name", ["voc", "coco", "voc-c4", "coco-c4", "voc-frozen", "coco-frozen"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.RESNETS.STRIDE_IN_1X1", True),
        ("INPUT.FORMAT", "BGR"),
        ("MODEL.PIXEL_MEAN", [103.53, 116.28, 123.675]),
        ("MODEL.PIXEL_STD", [1.0, 1.0, 1.0]),
    ],
)
def test_a_protocol_fits_its_weights_and_no_fault_in_it_gets_past_their_proof(
    name: str, key: str, value: object, converted_resnet50: Converted
) -> None:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    check_fits(cfg, converted_resnet50)
    cfg.merge_from_list([key, value])
    with pytest.raises(UserError, match=key.rpartition(".")[2].lower().replace("format", "input_format")):
        check_fits(cfg, converted_resnet50)


def test_weights_of_another_network_are_refused_with_the_way_to_it(tmp_path: Path) -> None:
    cfg = protocol_config(benchmarks.get("demo-voc").config_path, device="cpu")
    backbone = random_backbone("resnet34", seed=4)
    with pytest.raises(UserError, match="the weights are of a resnet34, the config has a resnet18"):
        check_fits(cfg, convert(backbone, get_target("detectron2", backbone.arch), tmp_path, "weights"))
    with pytest.raises(UserError, match=r"detectron2 itself has no deit_small: convert it for .*detectron2-any"):
        get_target("detectron2", "deit_small")


def assert_loaded(cfg: Any, backbone: Any, folder: Path) -> torch.nn.Module:
    converted = convert(backbone, get_target("detectron2", backbone.arch), folder, "weights")
    check_fits(cfg, converted)
    model = seeded_model(cfg, seed=0)
    load_backbone_weights(model, converted.path)
    assert_same(backbone_tensors(model), read(converted.path))
    return model


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() >= wanted.keys() and len(wanted) >= 100
    assert all(torch.equal(found[key], tensor) for key, tensor in wanted.items())


@pytest.mark.parametrize("name", ["voc-c4", "coco-c4"])
def test_c4_models_have_mocos_batch_norm_behind_res5(name: str) -> None:
    model = seeded_model(protocol_config(benchmarks.get(name).config_path, device="cpu"), seed=0)
    keys = model.state_dict().keys()
    assert {f"roi_heads.res5.norm.{part}" for part in ("weight", "bias", "running_mean", "running_var")} <= keys
    assert {key.partition(".")[0] for key in backbone_tensors(model)} == {"stem", "res2", "res3", "res4", "res5"}
    assert not any(key.startswith("res5.norm") for key in backbone_tensors(model)), "it is not pre-trained"


def test_a_batch_in_parts_has_the_gradient_of_as_many_processes_and_one_step() -> None:
    """Batch norm sees a part at a time, so it is frozen here: what is left must agree with two processes' mean."""
    from detectron2.utils.events import EventStorage

    cfg = protocol_config(benchmarks.get("demo-voc").config_path, device="cpu")
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = False  # it changes gradients in place
    cfg.MODEL.RESNETS.NORM = cfg.MODEL.FPN.NORM = "FrozenBN"
    images = [scene(cfg, 1), scene(cfg, 2)]

    gradients = []
    model = seeded_model(cfg, seed=0)
    torch.manual_seed(5)  # the model draws anchors and regions
    for image in images:
        model.zero_grad()
        with EventStorage():
            sum(model([image]).values()).backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    expected = [(one + other) / 2 for one, other in zip(*gradients, strict=True)]

    model = seeded_model(cfg, seed=0)
    trainer = make_trainer(cfg, model, build_optimizer(cfg, model), [[image] for image in images], parts=2)
    torch.manual_seed(5)
    trainer.train(0, 1)
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(found) == len(expected) > 20
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_mixed_precision_in_parts_is_refused() -> None:
    cfg = protocol_config(benchmarks.get("demo-voc").config_path, device="cpu")
    cfg.SOLVER.AMP.ENABLED = True
    model = torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match="accumulated in 2 parts"):
        make_trainer(cfg, model, torch.optim.SGD(model.parameters(), lr=0.1), [], parts=2)


def test_channels_last_changes_losses_and_gradients_by_rounding_alone() -> None:
    """The layout that GPUs compute in, here on CPU."""
    from detectron2.utils.events import EventStorage

    cfg = protocol_config(benchmarks.get("demo-coco").config_path, device="cpu")
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = seeded_model(cfg, seed=0).to(memory_format=layout)
        torch.manual_seed(5)  # the model draws anchors and regions
        with EventStorage():
            losses = model([scene(cfg, 1), scene(cfg, 2)])
        sum(losses.values()).backward()
        gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
        assert gradients["backbone.fpn_output2.weight"].is_contiguous(memory_format=layout)
        found.append((losses, gradients))
    (losses, gradients), (others, turned) = found
    torch.testing.assert_close(others, losses, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == turned.keys() and len(gradients) > 20
    for name, gradient in gradients.items():
        assert (turned[name] - gradient).norm() <= 1e-3 * gradient.norm(), name
