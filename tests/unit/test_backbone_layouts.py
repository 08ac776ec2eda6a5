"""One test per row of the table of checkpoint layouts: recognised, and the right tensors taken out of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import UserError
from tests.backbones import flat_head, flat_state, prefixed
from transfer.backbone import IMAGENET, Preprocessing, load_backbone
from transfer.backbone.sources import SOURCES

CLASSIFIER = {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
OURS = {"format": "twist-transfer", "version": 1, "arch": "resnet18"}


def our_checkpoint() -> dict[str, Any]:
    model = prefixed(flat_state(), "backbone.") | prefixed(flat_head(), "head.")
    return {**OURS, "epoch": 3, "recipe": {"name": "demo"}, "model": model, "optimizer": {"state": {}}}


def our_backbone() -> dict[str, Any]:
    config = {"in_features": 512, "hidden": 8, "num_classes": 5}
    return {**OURS, "backbone": flat_state(), "head": flat_head(), "head_config": config}


def official() -> dict[str, Any]:
    return {
        "model": prefixed(flat_state(), "backbone.") | {"projection_heads.0.weight": torch.zeros(1)},
        "backbone": flat_state(),
        "teacher": prefixed(flat_state(offset=0.5), "backbone."),
        "teacher_backbone": flat_state(offset=0.5),
        "optimizer": {"state": {}},
        "epoch": 7,
        "args": argparse.Namespace(arch="resnet18", lr=0.5, data=None),
    }


def moco() -> dict[str, Any]:
    query = flat_state() | {"fc.0.weight": torch.zeros(4, 512), "fc.2.bias": torch.zeros(4)}
    state = prefixed(query, "module.encoder_q.") | prefixed(flat_state(offset=0.5), "module.encoder_k.")
    state |= {"module.queue": torch.zeros(4, 8), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {}}


LAYOUTS: dict[str, Callable[[], dict[str, Any]]] = {
    "twist-transfer checkpoint": our_checkpoint,
    "twist-transfer backbone": our_backbone,
    "official TWIST": official,
    "official TWIST backbone": flat_state,
    "torchvision": lambda: flat_state() | CLASSIFIER,
    "MoCo v2": moco,
}
NUM_DROPPED = {"twist-transfer checkpoint": len(flat_head()), "torchvision": 2, "MoCo v2": 2 + len(flat_state()) + 2}


def save(checkpoint: Any, folder: Path) -> Path:
    path = folder / "checkpoint.pth"
    torch.save(checkpoint, path)
    return path


def test_every_layout_of_the_table_has_an_example_here() -> None:
    assert [source.name for source in SOURCES] == list(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_recognised_and_every_tensor_ends_under_its_torchvision_key(layout: str, tmp_path: Path) -> None:
    backbone = load_backbone(save(LAYOUTS[layout](), tmp_path))
    assert (backbone.source_format, backbone.arch, backbone.which) == (layout, "resnet18", "student")
    expected = flat_state()
    assert list(backbone.state_dict) == list(expected)
    for key, tensor in expected.items():
        assert torch.equal(backbone.state_dict[key], tensor), key
    assert len(backbone.dropped) == NUM_DROPPED.get(layout, 0)
    assert all(backbone.dropped.values()), "a key is dropped without a reason"


def test_teacher_of_an_official_checkpoint_is_not_the_student(tmp_path: Path) -> None:
    backbone = load_backbone(save(official(), tmp_path), which="teacher")
    assert backbone.which == "teacher"
    assert torch.equal(backbone.state_dict["conv1.weight"], flat_state(offset=0.5)["conv1.weight"])


@pytest.mark.parametrize("layout", sorted(LAYOUTS.keys() - {"official TWIST"}))
def test_teacher_is_refused_where_there_is_none(layout: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no teacher"):
        load_backbone(save(LAYOUTS[layout](), tmp_path), which="teacher")


def test_official_resnet_checkpoint_without_teacher_refuses_the_teacher(tmp_path: Path) -> None:
    checkpoint = {key: value for key, value in official().items() if not key.startswith("teacher")}
    with pytest.raises(UserError, match="has no teacher"):
        load_backbone(save(checkpoint, tmp_path), which="teacher")


def test_which_must_be_student_or_teacher(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="student or teacher"):
        load_backbone(save(flat_state(), tmp_path), which="both")


def test_namespace_is_let_through_for_this_load_only(tmp_path: Path) -> None:
    path = save(official(), tmp_path)
    load_backbone(path)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    with pytest.raises(Exception, match="Namespace"):
        torch.load(path, weights_only=True)


def test_unknown_layout_names_keys_that_were_seen(tmp_path: Path) -> None:
    checkpoint = {"network": flat_state(), "step": 5}
    with pytest.raises(UserError, match=r"no known layout.*network, step"):
        load_backbone(save(checkpoint, tmp_path))


def test_our_format_of_a_later_version_is_not_taken_for_another_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no known layout"):
        load_backbone(save({**our_checkpoint(), "version": 2, "backbone": flat_state()}, tmp_path))


def test_two_layouts_in_one_file_are_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ambiguous.*official TWIST and of MoCo v2"):
        load_backbone(save({**official(), **moco()}, tmp_path))


def test_key_that_no_row_drops_by_name_is_refused(tmp_path: Path) -> None:
    checkpoint = moco()
    checkpoint["state_dict"]["module.predictor.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"unknown key 'module\.predictor\.weight'"):
        load_backbone(save(checkpoint, tmp_path))


@pytest.mark.parametrize("layout", ["twist-transfer checkpoint", "twist-transfer backbone"])
def test_our_head_comes_with_the_arguments_that_build_it(layout: str, tmp_path: Path) -> None:
    from pretrain.model import ProjectionHead

    backbone = load_backbone(save(LAYOUTS[layout](), tmp_path))
    assert backbone.head is not None and backbone.head_config is not None
    assert backbone.head_config == {"in_features": 512, "hidden": 8, "num_classes": 5}
    ProjectionHead(**backbone.head_config).load_state_dict(backbone.head, strict=True)


def test_head_of_another_kind_is_refused(tmp_path: Path) -> None:
    checkpoint = {**our_backbone(), "head": {"bias": torch.zeros(3)}, "head_config": None}
    with pytest.raises(UserError, match="head without linear layers"):
        load_backbone(save(checkpoint, tmp_path))


@pytest.mark.parametrize("layout", ["official TWIST backbone", "torchvision", "MoCo v2"])
def test_no_head_where_the_source_has_none_that_can_be_built(layout: str, tmp_path: Path) -> None:
    backbone = load_backbone(save(LAYOUTS[layout](), tmp_path))
    assert backbone.head is None and backbone.head_config is None


def test_preprocessing_of_our_export_is_taken_over(tmp_path: Path) -> None:
    entry = {"size": 28, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    backbone = load_backbone(save({**our_backbone(), "preprocessing": entry}, tmp_path))
    assert backbone.preprocessing == Preprocessing("RGB", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert load_backbone(save(our_backbone(), tmp_path)).preprocessing == IMAGENET


@pytest.mark.parametrize("entry", [{}, {"mean": [0.5], "std": [1, 1, 1]}, {"mean": ["a"] * 3, "std": [1] * 3}, 5])
def test_malformed_preprocessing_is_refused(entry: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="three means and three deviations"):
        load_backbone(save({**our_backbone(), "preprocessing": entry}, tmp_path))
