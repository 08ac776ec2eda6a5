"""Known networks under known wrappers, beside known heads, whatever code wrote them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.backbones import flat_state, prefixed
from tests.layouts import other, torchvision_vit, with_fc, with_head
from transfer.reading import Reading
from transfer.weights.backbone import IMAGENET, load_backbone
from transfer.weights.backbone.codes import CODES
from twist_common.errors import UserError

NUMBER = torch.zeros(1)
HALF = [0.5, 0.5, 0.5]
SAID = Reading(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
State = dict[str, Any]


def save(checkpoint: Any, folder: Path) -> Path:
    torch.save(checkpoint, folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


def vissl(state: State) -> State:
    model = {"trunk": prefixed(state, "_feature_blocks."), "heads": {"0.clf.0.weight": NUMBER}}
    return {"phase_idx": 1, "classy_state_dict": {"base_model": {"meta": {}, "model": model}}}


def in_sequence(state: State, name: str = "backbone.") -> State:
    """github.com/lightly-ai/lightly: examples/pytorch_lightning/simclr.py, nn.Sequential(*list(resnet.children()))."""
    children = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    return {f"{name}{children[key.split('.')[0]]}.{key.split('.', 1)[1]}": value for key, value in state.items()}


def lightly_train(state_dict: State) -> State:
    """github.com/lightly-ai/lightly-train: _checkpoint.py; the modules in "models" are pickled whole."""
    info = {"version": "0.6", "models": {"model": nn.Linear(1, 1)}, "normalize_args": {"mean": HALF, "std": HALF}}
    return {"pytorch-lightning_version": "2.1.2", "state_dict": state_dict, "lightly_train": info}


LAYOUTS: dict[str, Callable[[State], State]] = {
    "model": lambda state: {"model": state},
    "module": lambda state: {"module": with_fc(state), "global_steps": 1},
    "model_state_dict": lambda state: {"model_state_dict": prefixed(state, "backbone."), "epoch": 1},
    "state_dict of one GPU": lambda state: {"state_dict": with_fc(state), "arch": "resnet18", "epoch": 1},
    "compiled": lambda state: prefixed(with_fc(state), "_orig_mod."),
    "compiled in DDP": lambda state: {"model": prefixed(state, "module._orig_mod.model.")},
    "VISSL": vissl,
    "VICReg without DDP": lambda state: {"model": prefixed(state, "backbone.") | {"projector.0.weight": NUMBER}},
    "projector left in": lambda state: {**state, "projector.0.weight": NUMBER},
    "timm's train.py": lambda state: {"state_dict": with_fc(state), "arch": "resnet18", "version": 2, "epoch": 1},
    "torchvision's references": lambda state: {
        "model": with_fc(state),
        "optimizer": {},
        "lr_scheduler": {},
        "epoch": 1,
        "args": argparse.Namespace(model="resnet18"),
    },
    "DeepSpeed": lambda state: {"module": prefixed(state, "backbone."), "ds_version": "0.9", "global_steps": 1},
    "lightly": lambda state: {
        "pytorch-lightning_version": "2.1.2",
        "state_dict": in_sequence(state) | {"projection_head.layers.0.weight": NUMBER},
    },
    "lightly-train": lambda state: lightly_train(prefixed(state, "embedding_model.wrapped_model._features.")),
    "averaged": lambda state: {"model_ema": prefixed(with_fc(state), "module.") | {"n_averaged": NUMBER}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_network_is_found_under_its_wrappers(layout: str, tmp_path: Path) -> None:
    state = flat_state()
    backbone = load_backbone(save(LAYOUTS[layout](state), tmp_path))
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())
    assert "OpenMMLab" not in backbone.source_format
    assert backbone.source_format == layout or layout not in {code.name for code in CODES}
    assert backbone.preprocessing.mean == ((0.5, 0.5, 0.5) if layout == "lightly-train" else IMAGENET.mean)


PAIRS: dict[str, Callable[[State, State], State]] = {
    "timm's train.py": lambda one, two: {
        "arch": "resnet18",
        "version": 2,
        "state_dict": with_fc(one),
        "state_dict_ema": with_fc(two),
    },
    "MoCo without DDP": lambda one, two: {
        "state_dict": prefixed(one, "encoder_q.") | prefixed(two, "encoder_k.") | {"queue": NUMBER}
    },
    "torchvision's references": lambda one, two: {
        "model": with_fc(one),
        "model_ema": prefixed(with_fc(two), "module.") | {"n_averaged": NUMBER},
        **dict.fromkeys(("optimizer", "lr_scheduler", "epoch", "args")),
    },
    "solo-learn": lambda one, two: {
        "pytorch-lightning_version": "2.1.2",
        "state_dict": prefixed(one, "backbone.")
        | prefixed(two, "momentum_backbone.")
        | {"classifier.weight": NUMBER, "momentum_projector.0.weight": NUMBER},
    },
}


STUDENT_NAMED: dict[str, Callable[[State, State], State]] = {
    "lightly": lambda one, two: {  # benchmarks/imagenet/resnet50/dino.py
        "state_dict": prefixed(one, "student_backbone.")
        | prefixed(two, "backbone.")
        | {"student_projection_head.layers.0.weight": NUMBER, "projection_head.layers.0.weight": NUMBER}
    },
    "lightly-train": lambda one, two: lightly_train(  # _methods/dino/dino.py
        prefixed(one, "student_embedding_model.wrapped_model._features.")
        | prefixed(two, "teacher_embedding_model.wrapped_model._features.")
        | {"student_projection_head.layers.0.weight": NUMBER, "criterion.center": NUMBER}
    ),
}


@pytest.mark.parametrize("layout", STUDENT_NAMED)
def test_code_that_names_its_student_is_evaluated_by_its_teacher(layout: str, tmp_path: Path) -> None:
    state = flat_state()
    path = save(STUDENT_NAMED[layout](state, other(state)), tmp_path)
    backbone = load_backbone(path)
    assert (backbone.source_format, backbone.which, backbone.other) == (layout, "teacher", "student")
    assert torch.equal(backbone.state_dict["conv1.weight"], other(state)["conv1.weight"])
    student = load_backbone(path, which="student")
    assert torch.equal(student.state_dict["conv1.weight"], state["conv1.weight"])


def test_torchvisions_vit_is_known_under_its_wrappers(tmp_path: Path) -> None:
    state = flat_state("vit_base")
    path = save({"model": prefixed(torchvision_vit(state), "module."), "epoch": 3}, tmp_path)
    backbone = load_backbone(path)
    assert (backbone.arch, backbone.source_format) == ("vit_base", "torchvision ViT in model")
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict.items())


@pytest.mark.parametrize("layout", PAIRS)
def test_moving_average_is_the_teacher(layout: str, tmp_path: Path) -> None:
    state = flat_state()
    path = save(PAIRS[layout](state, other(state)), tmp_path)
    backbone = load_backbone(path)
    assert (backbone.which, backbone.other) == ("student", "teacher")
    assert torch.equal(backbone.state_dict["conv1.weight"], state["conv1.weight"])
    teacher = load_backbone(path, which="teacher")
    assert torch.equal(teacher.state_dict["conv1.weight"], other(state)["conv1.weight"])
    assert backbone.source_format == layout


def test_vit_in_an_entry_is_asked_for_its_preprocessing_and_heads(tmp_path: Path) -> None:
    path = save({"teacher": prefixed(with_head(flat_state("deit_small")), "backbone.")}, tmp_path)
    with pytest.raises(UserError, match="--arch deit_small"):
        load_backbone(path, reading=SAID)
    with pytest.raises(UserError, match="--mean and --std"):
        load_backbone(path, arch="deit_small")
    assert load_backbone(path, arch="deit_small", reading=SAID).which == "teacher"


def test_decoder_of_mae_is_dropped_by_name(tmp_path: Path) -> None:
    more = {"mask_token": NUMBER, "decoder_embed.weight": NUMBER, "decoder_blocks.0.norm1.weight": NUMBER}
    backbone = load_backbone(save({"model": flat_state("vit_base") | more, "scaler": {}}, tmp_path))
    assert (backbone.source_format, backbone.dropped.keys()) == ("MAE", more.keys())


@pytest.mark.parametrize("more", ["layer5.0.weight", "unknown.weight", "module.student.weight"])
def test_key_that_the_rule_does_not_name_is_refused(more: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"which a resnet18 does not|unknown key"):
        load_backbone(save({"model": flat_state() | {more: NUMBER}}, tmp_path))


def test_two_networks_under_wrappers_are_not_chosen_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no known layout"):
        load_backbone(save({"model": flat_state(), "module": flat_state()}, tmp_path))
