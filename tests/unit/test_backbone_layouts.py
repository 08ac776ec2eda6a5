"""One test per row of the table of checkpoint layouts: recognised, and the right tensors taken out of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import NARROW_VIT, add_narrow_vit, flat_state
from tests.layouts import (
    ASK_PREPROCESSING,
    RESNET_LAYOUTS,
    TEACHER_BY_DEFAULT,
    TEACHERS,
    VIT_LAYOUTS,
    other,
    torchvision_vit,
    with_fc,
)
from transfer.reading import Reading
from transfer.weights.backbone import IMAGENET, Backbone, Preprocessing, load_backbone
from transfer.weights.backbone.architecture import COUNTER
from transfer.weights.backbone.load import networks_in
from transfer.weights.backbone.sources import SOURCES
from transfer.weights.backbone.types import UNSCALED
from twist_common.errors import UserError

ALL = [(name, "resnet18") for name in RESNET_LAYOUTS] + [(name, NARROW_VIT) for name in VIT_LAYOUTS]
TIMM_CONFIG = {"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}
HALF = Preprocessing("RGB", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
PREPROCESSING = {
    **dict.fromkeys(ASK_PREPROCESSING, HALF),
    "SimCLR (PyTorch)": UNSCALED,
    "VICRegL": Preprocessing("RGB", mean=IMAGENET.mean, std=(0.228, 0.224, 0.225)),
}


@pytest.fixture(autouse=True)
def narrow_vit(monkeypatch: pytest.MonkeyPatch) -> None:
    add_narrow_vit(monkeypatch)


def example_of(layout: str, arch: str = "resnet18") -> dict[str, Any]:
    layouts = RESNET_LAYOUTS if arch.startswith("resnet") else VIT_LAYOUTS
    return layouts[layout](flat_state(arch))


def load(layout: str, arch: str, folder: Path, **arguments: Any) -> Backbone:
    if layout in ASK_PREPROCESSING:
        (folder / "config.json").write_text(json.dumps(TIMM_CONFIG))
    return load_backbone(save(example_of(layout, arch), folder), **arguments)


def save(checkpoint: Any, folder: Path) -> Path:
    path = folder / "checkpoint.pth"
    torch.save(checkpoint, path)
    return path


def test_every_layout_of_the_table_has_an_example_here() -> None:
    assert {source.name for source in SOURCES} == RESNET_LAYOUTS.keys() | VIT_LAYOUTS.keys()
    assert {source.name for source in SOURCES if source.teacher} == TEACHERS


@pytest.mark.parametrize(("layout", "arch"), ALL)
def test_layout_is_recognised_and_every_tensor_ends_under_our_key(layout: str, arch: str, tmp_path: Path) -> None:
    backbone = load(layout, arch, tmp_path, which="student")
    assert (backbone.source_format, backbone.arch, backbone.which) == (layout, arch, "student")
    assert backbone.other == ("teacher" if layout in TEACHERS else None)
    assert backbone.preprocessing == PREPROCESSING.get(layout, IMAGENET)
    expected = flat_state(arch)
    assert list(backbone.state_dict) == list(expected)
    for key, tensor in expected.items():
        assert torch.equal(backbone.state_dict[key], tensor), key
    assert all(backbone.dropped.values()), "a key is dropped without a reason"


@pytest.mark.parametrize(("layout", "arch"), [(layout, arch) for layout, arch in ALL if layout in TEACHERS])
def test_teacher_is_the_other_network(layout: str, arch: str, tmp_path: Path) -> None:
    backbone = load(layout, arch, tmp_path, which="teacher")
    assert backbone.which == "teacher"
    for key, tensor in other(flat_state(arch)).items():
        assert torch.equal(backbone.state_dict[key], tensor), key


@pytest.mark.parametrize(("layout", "arch"), [(layout, arch) for layout, arch in ALL if layout not in TEACHERS])
def test_teacher_is_refused_where_there_is_none(layout: str, arch: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no teacher"):
        load(layout, arch, tmp_path, which="teacher")


@pytest.mark.parametrize("name", ["checkpoint", "backbone"])
def test_checkpoint_without_momentum_encoder_refuses_the_teacher(name: str, tmp_path: Path) -> None:
    content = example_of(f"twist-transfer {name}")
    content.update({"teacher": None} if name == "checkpoint" else {"teacher_backbone": None})
    with pytest.raises(UserError, match="has no teacher"):
        load_backbone(save(content, tmp_path), which="teacher")


def test_official_resnet_checkpoint_without_teacher_refuses_the_teacher(tmp_path: Path) -> None:
    checkpoint = {key: value for key, value in example_of("official TWIST").items() if not key.startswith("teacher")}
    with pytest.raises(UserError, match="has no teacher"):
        load_backbone(save(checkpoint, tmp_path), which="teacher")


def test_small_vit_of_moco_v3_has_its_own_heads(tmp_path: Path) -> None:
    path = save(example_of("MoCo v3", "deit_small"), tmp_path)
    assert load_backbone(path).arch == "vit_small_patch16_224-12heads"
    with pytest.raises(UserError, match=r"holds a vit_small_patch16_224-12heads, not a deit_small"):
        load_backbone(path, arch="deit_small")


def test_openmmlabs_small_vit_asks_for_the_architecture_that_no_tensor_tells(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --arch deit_small if it is one"):
        load_backbone(save(example_of("OpenMMLab ViT", "deit_small"), tmp_path))
    assert load_backbone(tmp_path / "checkpoint.pth", arch="deit_small").arch == "deit_small"


@pytest.mark.parametrize("config", [None, "{}", "no json", '{"pretrained_cfg": {"mean": [0.5]}}'])
def test_plain_vit_asks_for_the_config_that_says_how_images_were_scaled(config: str | None, tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=r"config\.json"):
        load_backbone(save(example_of("plain ViT with classifier", NARROW_VIT), tmp_path))


@pytest.mark.parametrize(("layout", "arch"), ALL)
def test_default_network_is_the_one_that_the_authors_evaluate(layout: str, arch: str, tmp_path: Path) -> None:
    default = "teacher" if layout in TEACHER_BY_DEFAULT else "student"
    assert load(layout, arch, tmp_path).which == default
    assert networks_in(tmp_path / "checkpoint.pth")[0] == default


@pytest.mark.parametrize("counted", [0, 1000])
def test_state_dict_alone_is_asked_whether_it_is_simclrs_whatever_its_counters(counted: int, tmp_path: Path) -> None:
    state = {key: torch.tensor(counted) if key.endswith(COUNTER) else each for key, each in flat_state().items()}
    path = save({"state_dict": with_fc(state)}, tmp_path)
    with pytest.raises(UserError, match=r"supervised network.*SimCLR's converter.*--mean and --std"):
        load_backbone(path)
    reading = Reading(mean=UNSCALED.mean, std=UNSCALED.std)
    assert load_backbone(path, reading=reading).preprocessing == UNSCALED


def test_safetensors_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {key: value.contiguous() for key, value in flat_state().items()}
    save_file(state, tmp_path / "model.safetensors")
    backbone = load_backbone(tmp_path / "model.safetensors")
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())


def test_tensor_under_two_names_of_one_layout_is_refused(tmp_path: Path) -> None:
    checkpoint = torchvision_vit(flat_state("deit_small"))
    name = "encoder.layers.encoder_layer_0.mlp."
    checkpoint[f"{name}0.weight"] = checkpoint[f"{name}linear_1.weight"]
    with pytest.raises(UserError, match=r"blocks\.0\.mlp\.fc1\.weight under two names"):
        load_backbone(save(checkpoint, tmp_path))


def test_which_must_be_student_or_teacher(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="student or teacher"):
        load_backbone(save(flat_state(), tmp_path), which="both")


def test_namespace_is_let_through_for_this_load_only(tmp_path: Path) -> None:
    path = save(example_of("official TWIST"), tmp_path)
    load_backbone(path)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    with pytest.raises(Exception, match="Namespace"):
        torch.load(path, weights_only=True)


def test_unknown_layout_names_keys_that_were_seen(tmp_path: Path) -> None:
    checkpoint = {"nets": flat_state(), "step": 5}
    with pytest.raises(UserError, match=r"no known layout.*nets, step"):
        load_backbone(save(checkpoint, tmp_path))


def test_our_format_of_a_later_version_is_not_taken_for_another_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no known layout"):
        load_backbone(save({**example_of("twist-transfer checkpoint"), "version": 2}, tmp_path))


def test_two_layouts_in_one_file_are_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ambiguous.*official TWIST and of MoCo"):
        load_backbone(save({**example_of("official TWIST"), **example_of("MoCo")}, tmp_path))


def test_key_that_no_row_drops_by_name_is_refused(tmp_path: Path) -> None:
    checkpoint = example_of("MoCo")
    checkpoint["state_dict"]["module.predictor.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"unknown key 'module\.predictor\.weight'"):
        load_backbone(save(checkpoint, tmp_path))


@pytest.mark.parametrize("layout", ["twist-transfer checkpoint", "twist-transfer backbone"])
def test_our_head_comes_with_the_arguments_that_build_it(layout: str, tmp_path: Path) -> None:
    from pretrain.model.head import ProjectionHead

    backbone = load_backbone(save(example_of(layout), tmp_path))
    assert backbone.head is not None and backbone.head_config is not None
    assert {"in_features": 512, "hidden": 8, "num_classes": 5}.items() <= backbone.head_config.items()
    ProjectionHead(**backbone.head_config).load_state_dict(backbone.head, strict=True)


def test_head_of_another_kind_is_refused(tmp_path: Path) -> None:
    checkpoint = {**example_of("twist-transfer backbone"), "head": {"bias": torch.zeros(3)}, "head_config": None}
    with pytest.raises(UserError, match="head without linear layers"):
        load_backbone(save(checkpoint, tmp_path))


@pytest.mark.parametrize("layout", ["plain ResNet without classifier", "plain ResNet with classifier", "MoCo"])
def test_no_head_where_the_source_has_none_that_can_be_built(layout: str, tmp_path: Path) -> None:
    backbone = load_backbone(save(example_of(layout), tmp_path))
    assert backbone.head is None and backbone.head_config is None


def test_preprocessing_of_our_export_is_taken_over(tmp_path: Path) -> None:
    entry = {"size": 28, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    backbone = load_backbone(save({**example_of("twist-transfer backbone"), "preprocessing": entry}, tmp_path))
    assert backbone.preprocessing == Preprocessing("RGB", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert load_backbone(save(example_of("twist-transfer backbone"), tmp_path)).preprocessing == IMAGENET


@pytest.mark.parametrize("entry", [{}, {"mean": [0.5], "std": [1, 1, 1]}, {"mean": ["a"] * 3, "std": [1] * 3}, 5])
def test_malformed_preprocessing_is_refused(entry: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="three means and three deviations"):
        load_backbone(save({**example_of("twist-transfer backbone"), "preprocessing": entry}, tmp_path))
