"""What a checkpoint does not say is asked for, or read from the config beside it; a contradiction is refused."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import flat_head, flat_state
from tests.layouts import dino, moco, our_backbone, with_fc, with_head
from transfer.reading import Reading
from transfer.trial import WeightsRef
from transfer.trials.plan import weights_ref
from transfer.weights.backbone import IMAGENET, load_backbone
from transfer.weights.backbone.beside import ARCH_BY_TIMM_NAME
from twist_common.errors import UserError

HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
SAID = Reading(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def save(checkpoint: Any, folder: Path, **configs: Any) -> Path:
    """The checkpoint, and the configs beside it by their names."""
    torch.save(checkpoint, folder / "checkpoint.pth")
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    return folder / "checkpoint.pth"


def timm(architecture: str, **more: Any) -> dict[str, Any]:
    return {"architecture": architecture, "pretrained_cfg": HALF, **more}


@pytest.mark.parametrize(("name", "arch"), ARCH_BY_TIMM_NAME.items())
def test_timms_config_says_architecture_and_preprocessing(name: str, arch: str, tmp_path: Path) -> None:
    backbone = load_backbone(save(flat_state(arch), tmp_path, config=timm(f"{name}.tag_in1k")))
    assert (backbone.arch, backbone.preprocessing.mean) == (arch, (0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", ["resnetblur50", "resnetaa50", "resnet50d", "vit_small_patch16_224_miil"])
def test_other_network_of_the_same_tensors_is_refused_by_the_name_in_its_config(name: str, tmp_path: Path) -> None:
    path = save(with_fc(flat_state("resnet50")), tmp_path, config=timm(name))
    for arch in (None, "resnet50"):
        with pytest.raises(UserError, match=rf"says that the checkpoint beside it is timm's {name}, which is none of"):
            load_backbone(path, arch=arch, reading=SAID)


def test_network_of_timm_that_a_config_names_is_loaded_when_the_user_names_it_too(tmp_path: Path) -> None:
    path = save(with_fc(flat_state("resnet50")), tmp_path, config=timm("resnetblur50"))
    with pytest.raises(UserError, match="give --arch resnetblur50, or move the file away"):
        load_backbone(path)
    assert load_backbone(path, arch="resnetblur50").arch == "resnetblur50"


def test_config_whose_arguments_change_the_network_is_refused(tmp_path: Path) -> None:
    path = save(flat_state("resnet50"), tmp_path, config=timm("resnet50", model_args={"aa_layer": "blurpool"}))
    with pytest.raises(UserError, match="timm's resnet50 with aa_layer"):
        load_backbone(path)


@pytest.mark.parametrize("arch", [None, "resnet18"])
def test_config_that_contradicts_the_tensors_is_refused(arch: str | None, tmp_path: Path) -> None:
    path = save(flat_state(), tmp_path, config=timm("resnet50"))
    with pytest.raises(UserError, match=r"holds a resnet18, but .*config\.json says resnet50: move the one away"):
        load_backbone(path, arch=arch)


def test_config_of_another_preprocessing_beside_a_methods_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save(moco(flat_state()), tmp_path, config=timm("resnet18"))
    with pytest.raises(UserError, match=r"\(MoCo\) was fed images of another mean.*move the config away"):
        load_backbone(path)
    assert load_backbone(path, reading=SAID).preprocessing.mean == (0.5, 0.5, 0.5)


def test_config_of_something_else_is_left_alone(tmp_path: Path) -> None:
    assert load_backbone(save(flat_state(), tmp_path, config={"lr": 0.1})).preprocessing == IMAGENET


def test_hugging_faces_configs_say_architecture_and_preprocessing_of_our_keys_too(tmp_path: Path) -> None:
    small = {"model_type": "vit", "hidden_size": 384, "num_attention_heads": 6, "layer_norm_eps": 1e-6}
    scaling = {"image_mean": HALF["mean"], "image_std": HALF["std"]}
    path = save(flat_state("deit_small"), tmp_path, config=small, preprocessor_config=scaling)
    assert load_backbone(path).preprocessing.std == (0.5, 0.5, 0.5)
    path = save(flat_state("deit_small"), tmp_path, config=small | {"num_attention_heads": 12})
    with pytest.raises(UserError, match=r"is a vit of the sizes 384, 12, 12, which is no network that is known"):
        load_backbone(path)
    path = save(flat_state("deit_small"), tmp_path, config=small | {"layer_norm_eps": 1e-12})
    with pytest.raises(UserError, match=r"holds a deit_small, but .* says vit_small_patch16_224-eps1e-12"):
        load_backbone(path)


@pytest.mark.parametrize("build", [dict, with_head])
def test_plain_vit_is_asked_for_its_preprocessing(build: Any, tmp_path: Path) -> None:
    path = save(build(flat_state("vit_base")), tmp_path)
    with pytest.raises(UserError, match=r"augreg.*--mean and --std"):
        load_backbone(path)
    assert load_backbone(path, reading=SAID).preprocessing.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("build", [dict, with_head])
def test_plain_small_vit_is_asked_for_its_heads(build: Any, tmp_path: Path) -> None:
    path = save(build(flat_state("deit_small")), tmp_path)
    with pytest.raises(UserError, match=r"6 attention heads and MoCo v3's ViT-S has 12.*--arch deit_small"):
        load_backbone(path, reading=SAID)
    assert load_backbone(path, arch="deit_small", reading=SAID).arch == "deit_small"


def test_dinos_small_vit_is_asked_for_its_heads_unless_its_arguments_say_them(tmp_path: Path) -> None:
    checkpoint = dino(flat_state("deit_small"))
    assert load_backbone(save(checkpoint, tmp_path)).arch == "deit_small"
    with pytest.raises(UserError, match="--arch deit_small"):
        load_backbone(save(checkpoint | {"args": argparse.Namespace(arch="own")}, tmp_path))


@pytest.mark.parametrize("std", [[0.2, 0.2, 0.0], [0.2, math.nan, 0.2], [math.inf, 0.2, 0.2], [-0.2, 0.2, 0.2]])
def test_deviation_that_scales_nothing_is_refused(std: list[float], tmp_path: Path) -> None:
    entry = {"mean": [0.5, 0.5, 0.5], "std": std}
    for path in (
        save(our_backbone(flat_state()) | {"preprocessing": entry}, tmp_path),
        save(flat_state(), tmp_path, config={"architecture": "resnet18", "pretrained_cfg": entry}),
    ):
        with pytest.raises(UserError, match="no image is scaled by these"):
            load_backbone(path)
    with pytest.raises(UserError, match="no image is scaled by these"):
        Reading(mean=(0.5, 0.5, 0.5), std=(std[0], std[1], std[2])).check()


def test_mean_without_deviation_is_refused() -> None:
    with pytest.raises(UserError, match="--mean and --std go together"):
        Reading(mean=(0.5, 0.5, 0.5)).check()


def test_nested_tensor_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="nested"):
        nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    with pytest.raises(UserError, match=r"conv1\.weight is a nested tensor"):
        load_backbone(save(flat_state() | {"conv1.weight": nested}, tmp_path))


def test_head_that_no_memory_holds_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    head = flat_head()
    last = [key for key, value in head.items() if value.ndim == 2][-1]
    head[last] = torch.zeros(()).expand(2**40, 8)
    with pytest.raises(UserError, match=r"head of more than|would fill"):
        load_backbone(save(our_backbone(flat_state()) | {"head": head}, tmp_path))


def test_what_is_said_of_a_checkpoint_is_part_of_what_a_trial_is_and_nothing_else_changes(tmp_path: Path) -> None:
    path = save(flat_state(), tmp_path)
    said, silent = weights_ref(str(path), reading=SAID), weights_ref(str(path))
    assert silent == WeightsRef(name=silent.name, source=silent.source, sha256=silent.sha256)
    assert (silent.taken, silent.reading.key) == ("student", [])
    assert said.taken == 'student {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}' == f"student {said.reading.key[0]}"
