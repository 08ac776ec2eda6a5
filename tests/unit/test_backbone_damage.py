"""Files that torch.load reads without a word though what they hold is not, or not all, what was trained."""

from __future__ import annotations

import io
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.backbones import trained_like
from transfer.weights.backbone import load_backbone
from transfer.weights.backbone.types import IMAGENET
from twist_common.errors import UserError

State = dict[str, Any]
PAGE = 4096
CONV = "layer4.1.conv1.weight"


@pytest.fixture(scope="module")
def whole() -> State:
    return trained_like("resnet18").state_dict


def saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def with_hole(state: State, content: bytes) -> bytes:
    """As an unfinished download leaves it, whose place on the disk was there before; here in one of the weights.

    In the middle of a file another storage may begin: their order depends on addresses in memory.
    """
    begin = content.index(state[CONV].numpy().tobytes()[:64]) + PAGE
    return content[:begin] + bytes(64 * PAGE) + content[begin + 64 * PAGE :]


def with_flipped_bit(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def safetensors(state: State) -> bytes:
    from safetensors.torch import save

    return save(state)


def changed(**values: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], bytes]:
    def write(state: State) -> bytes:
        return saved(state | {key: change(state[key].clone()) for key, change in values.items()})

    return write


def negative(state: State) -> bytes:
    return saved(state | {CONV: torch._neg_view(-state[CONV])})


def big_endian(state: State) -> bytes:
    content = saved(state, _use_new_zipfile_serialization=False)
    place = content.index(b"\x88", content.index(b"little_endian"))  # NEWTRUE, and then NEWFALSE
    return content[:place] + b"\x89" + content[place + 1 :]


def half_scaled(weight: torch.Tensor) -> torch.Tensor:
    weight.view(-1)[3] = 1e30
    return weight


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda state: with_hole(state, saved(state)), "has another checksum"),
        (lambda state: with_flipped_bit(saved(state)), "has another checksum"),
        (lambda state: saved(state) + saved(state), "another file stands before its archive"),
        (lambda state: with_hole(state, saved(state, _use_new_zipfile_serialization=False)), "zeros in the place of"),
        (lambda state: with_hole(state, safetensors(state)), "zeros in the place of"),
        (negative, "the negative or conjugate of what is stored"),
        (big_endian, "big-endian machine"),
        (changed(**{CONV: torch.zeros_like}), f"{CONV} holds nothing but zeros"),
        (changed(**{"bn1.running_var": torch.zeros_like}), "bn1.running_var is 0 in all channels"),
        (changed(**{CONV: half_scaled}), f"{CONV} holds 1e\\+30, which no network learns"),
    ],
)
def test_damage_that_torch_does_not_see_is_refused(
    write: Callable[[State], bytes], says: str, whole: State, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(write(whole))
    with pytest.raises(UserError, match=says) as refusal:
        load_backbone(path)
    assert re.search("again|on a little-endian one", str(refusal.value))


def test_trained_norms_without_statistics_are_refused_and_a_network_that_saw_no_batch_is_none(
    whole: State, tmp_path: Path
) -> None:
    folded = {key: torch.zeros_like(value) if key.endswith("running_mean") else value for key, value in whole.items()}
    folded |= {key: torch.ones_like(value) for key, value in whole.items() if key.endswith("running_var")}
    path = tmp_path / "resnet.pth"
    torch.save(folded, path)
    with pytest.raises(UserError, match=r"without statistics .* Caffe's"):
        load_backbone(path)
    norms = {key: torch.ones_like(value) for key, value in folded.items() if "bn" in key and key.endswith("weight")}
    norms |= {key: torch.ones_like(value) for key, value in folded.items() if key.endswith("downsample.1.weight")}
    norms |= {key: torch.zeros_like(value) for key, value in folded.items() if key.endswith("bias")}
    torch.save(folded | norms, path)
    assert load_backbone(path).arch == "resnet18"


def test_channels_that_died_and_files_without_checksums_are_whole(whole: State, tmp_path: Path) -> None:
    dead = whole[CONV].clone()
    dead[40:60] = 0
    torch.serialization.set_crc32_options(False)
    try:
        (tmp_path / "dead.pth").write_bytes(saved(whole | {CONV: dead}))
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(load_backbone(tmp_path / "dead.pth").state_dict[CONV], dead)


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: key.replace("layer1.", "layer1._orig_mod."),
        lambda key: f"module.{key.replace('layer2.0.', 'layer2.0._checkpoint_wrapped_module.')}",
        lambda key: f"_fsdp_wrapped_module.{key.replace('layer3.1.', 'layer3.1._fsdp_wrapped_module.')}",
    ],
)
def test_what_compiles_shards_or_recomputes_a_module_is_no_part_of_its_name(
    rename: Callable[[str], str], whole: State, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": {rename(key): value for key, value in whole.items()}, "epoch": 3}, path)
    found = load_backbone(path).state_dict
    assert found.keys() == whole.keys() and all(torch.equal(found[key], whole[key]) for key in whole)


TO_RGB = "data_preprocessor = dict(\n  mean=[\n    {},\n  ], std=[{}], {})\nneck = dict(target_means=[0., 0., 0., 0.])"


def openmmlab(whole: State, text: str, entry: str = "cfg") -> State:
    return {"meta": {entry: text}, "state_dict": {f"backbone.{key}": value for key, value in whole.items()}}


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        (TO_RGB.format("123.675, 116.28, 103.53", "58.395, 57.12, 57.375", "to_rgb=True"), IMAGENET.mean),
        (TO_RGB.format("127.5, 127.5, 127.5", "127.5, 127.5, 127.5", "bgr_to_rgb=True"), (0.5, 0.5, 0.5)),
        ("img_norm_cfg = dict(mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2])", (0.5, 0.4, 0.3)),
        ("model = dict(type='MoCo')", IMAGENET.mean),
    ],
)
def test_openmmlabs_config_says_how_images_were_scaled(
    text: str, mean: tuple[float, ...], whole: State, tmp_path: Path
) -> None:
    path = tmp_path / "epoch_200.pth"
    torch.save(openmmlab(whole, text), path)
    assert load_backbone(path).preprocessing.mean == mean


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TO_RGB.format("103.53, 116.28, 123.675", "1.0, 1.0, 1.0", "to_rgb=False"), r"BGR.*weight\[:, \[2, 1, 0\]\]"),
        ("a = dict(mean=[0.5, 0.5, 0.5], std=[1, 1, 1]), b = dict(mean=[0.4, 0.5, 0.5])", "give --mean and --std"),
        ("a = dict(mean=[0.5, 0.5, 0.5], std=[0, 1, 1])", "deviations are finite and above 0"),
    ],
)
def test_openmmlabs_config_of_images_that_are_not_fed_so_is_refused(
    text: str, says: str, whole: State, tmp_path: Path
) -> None:
    path = tmp_path / "latest.pth"
    torch.save(openmmlab(whole, text, entry="config"), path)
    with pytest.raises(UserError, match=says):
        load_backbone(path)


SETTINGS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "tensors": ({"args": Namespace(mean=torch.tensor([0.5] * 3), std=torch.tensor([0.25] * 3))}, (0.5,) * 3),
    "0 to 255": ({"args": Namespace(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])}, IMAGENET.mean),
    "beside the network": ({"mean": [0.5] * 3, "std": [0.5] * 3}, (0.5,) * 3),
    "config": ({"config": {"DATA": {"MEAN": [0.45] * 3, "STD": [0.225] * 3}}}, (0.45,) * 3),
    "Lightning": ({"hyper_parameters": {"data": {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}}}, (0.5,) * 3),
    "nothing": ({"args": Namespace(mean=None, std="x", noise={"mean": 0.0, "std": 1.0})}, IMAGENET.mean),
}


@pytest.mark.parametrize("kept", SETTINGS)
def test_settings_say_how_images_were_scaled(kept: str, whole: State, tmp_path: Path) -> None:
    entries, mean = SETTINGS[kept]
    torch.save({"model": whole, **entries}, tmp_path / "model.pth")
    assert load_backbone(tmp_path / "model.pth").preprocessing.mean == pytest.approx(mean)


@pytest.mark.parametrize("half", [np.full(3, 0.5), [np.float64(0.5)] * 3])
def test_scaling_that_cannot_be_read_is_asked_for(half: Any, whole: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": whole, "args": Namespace(mean=half, std=half)}, path)
    with pytest.raises(UserError, match="as NumPy's numbers: give --mean and --std"):
        load_backbone(path)


def test_timms_arguments_say_scaling_and_network(whole: State, tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth.tar"

    def written(**args: Any) -> Path:
        content = {"arch": args["model"], "state_dict": whole, "version": 2, "epoch": 1, "args": Namespace(**args)}
        torch.save(content, path)
        return path

    assert load_backbone(written(model="resnet18", mean=None, std=None)).preprocessing == IMAGENET
    assert load_backbone(written(model="resnet18", mean=[0.5] * 3, std=[0.25] * 3)).preprocessing.std == (0.25,) * 3
    with pytest.raises(UserError, match=r"is timm's resnetblur18, .* a resnet18's: give --arch resnetblur18"):
        load_backbone(written(model="resnetblur18"))
    assert load_backbone(path, arch="resnetblur18").arch == "resnetblur18"
    assert load_backbone(path, arch="resnet18").arch == "resnet18"
