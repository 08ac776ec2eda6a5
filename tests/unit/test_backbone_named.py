"""Checkpoints of no known layout: the user names entry, prefix and what to drop, and a refusal prints how."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro

from tests import hugging_face
from tests.backbones import flat_state, prefixed
from tests.layouts import other, swav
from tests.unit.test_backbone_families import ORIGINALS
from transfer.commands import convert
from transfer.reading import Reading
from transfer.weights.backbone import Backbone, load_backbone
from twist_common.errors import UserError

NUMBER = torch.zeros(1)
State = dict[str, Any]
HALF = (0.5, 0.5, 0.5)


def save(checkpoint: Any, folder: Path, name: str = "mine.ckpt") -> Path:
    torch.save(checkpoint, folder / name)
    return folder / name


def refusal(path: Path, arch: str | None = None, reading: Reading | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_backbone(path, arch=arch, reading=reading)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def typed(command: str, arch: str = "") -> convert.Args:
    """The refusal's command as the user types it, with what it leaves open filled in."""
    name, *words = shlex.split(command.replace("R G B", "0.5 0.5 0.5").replace("NAME", arch))
    assert name == convert.COMMAND
    return tyro.cli(convert.Args, args=words, config=(tyro.conf.OmitArgPrefixes,))


def loaded(args: convert.Args) -> Backbone:
    return load_backbone(args.checkpoint, args.reading.which, args.reading.arch, args.reading.reading())


def command_in(message: str) -> str:
    return message[message.index(convert.COMMAND) :]


def lightning(state: State) -> State:
    model = prefixed(state, "net.trunk.") | {"net.proj.0.weight": NUMBER, "loss.centre": NUMBER}
    return {"epoch": 3, "hyper_parameters": {"lr": 0.1}, "state_dict": model, "optimizer_states": [{"state": {}}]}


def heads_beside(state: State) -> State:
    return {"mine": {**state, "aux head.weight": NUMBER, "q[0]": NUMBER, "step": 4, "fc.weight": NUMBER}}


def in_sequential(state: State) -> State:
    children = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(n + 3) for n in range(1, 5)}}
    numbered = {".".join([children[key.split(".")[0]], *key.split(".")[1:]]): value for key, value in state.items()}
    return {"mine": prefixed(numbered, "f.") | {"f.9.weight": NUMBER, "f.mlp.0.weight": NUMBER}}


UNKNOWN: dict[str, Callable[[State], State]] = {
    "lightning": lightning,
    "heads beside the network": heads_beside,
    "in lists": lambda state: {"models": [{"weights": prefixed(state, "a.b.")}], "best": 1.0},
    "at the top": lambda state: prefixed(state, "resnet.") | {"epoch": 3, "mlp.weight": NUMBER},
    "numbers for names": lambda state: {"nets": {0: state, 1: {"weight": NUMBER}}},
    "in torch.nn.Sequential": in_sequential,
    "two known layouts": lambda state: {**state, **swav(other(state))},
    "a known layout and more": lambda state: swav(state) | {"module.extra.weight": NUMBER},
}


@pytest.mark.parametrize("layout", UNKNOWN)
def test_command_of_a_refusal_loads_the_network(layout: str, tmp_path: Path) -> None:
    state = flat_state()
    path = save(UNKNOWN[layout](state), tmp_path, "my file.ckpt")
    message = refusal(path)
    assert "--arch resnet18 --mean R G B --std R G B" in message
    backbone = loaded(typed(command_in(message)))
    assert backbone.state_dict.keys() == state.keys()
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())
    assert (backbone.preprocessing.mean, backbone.which) == (HALF, "student")
    assert backbone.source_format.startswith("--")


def test_what_is_dropped_is_listed_by_reason(tmp_path: Path) -> None:
    path = save(lightning(flat_state()) | {"step": 1}, tmp_path)
    args = typed(command_in(refusal(path)))
    assert loaded(args).dropped == dict.fromkeys(["net.proj.0.weight", "loss.centre"], "outside --prefix net.trunk.")
    path = save({"mine": prefixed(flat_state(), "a.") | {"a.head.w": NUMBER, "b": NUMBER}}, tmp_path)
    args = typed(f"{convert.COMMAND} {path} --entry mine --prefix a. --drop 'head.*' --mean R G B --std R G B")
    assert loaded(args).dropped == {"a.head.w": "--drop head.*", "b": "outside --prefix a."}


@pytest.mark.parametrize("arch", ["deit_small", "vit_base"])
def test_vit_is_named_only_where_its_tensors_show_it(arch: str, tmp_path: Path) -> None:
    state = flat_state(arch)
    message = refusal(save({"mine": prefixed(state, "vit.") | {"vit.head.weight": NUMBER}}, tmp_path))
    assert ("--arch NAME" in message) == (arch == "deit_small") == ("NAME may be deit_small: " in message)
    backbone = loaded(typed(command_in(message), arch))
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("arch", "key"),
    [("vit_base", "reg_token"), ("vit_base", "norm_pre.weight"), ("resnet18", "layer1.0.se.fc1.weight")],
)
def test_what_may_be_a_part_of_the_network_is_not_dropped_by_the_suggestion(
    arch: str, key: str, tmp_path: Path
) -> None:
    path = save({"mine": flat_state(arch) | {key: NUMBER, "head.weight": NUMBER}}, tmp_path)
    message = refusal(path)
    assert "only if it is no part of the network" in message and "--drop 'head.*' --arch NAME" in message
    args = typed(command_in(message), arch)
    assert key in refusal(path, args.reading.arch, args.reading.reading())


def test_second_network_is_mentioned(tmp_path: Path) -> None:
    state = flat_state()
    path = save({"one": prefixed(state, "a.") | prefixed(other(state), "b."), "two": other(state)}, tmp_path)
    message = refusal(path)
    assert "--entry one --prefix b. has one too; --entry two has one too" in message
    assert torch.equal(loaded(typed(command_in(message))).state_dict["conv1.weight"], state["conv1.weight"])
    args = typed(f"{convert.COMMAND} {path} --entry two --mean R G B --std R G B")
    assert torch.equal(loaded(args).state_dict["conv1.weight"], other(state)["conv1.weight"])


def test_network_of_timm_is_named_by_the_user_or_by_the_checkpoint(tmp_path: Path) -> None:
    state = flat_state("test_resnet")
    content = {"mine": prefixed(state, "trunk.") | {"trunk.fc.weight": NUMBER, "other.weight": NUMBER}}
    message = refusal(save(content, tmp_path))
    assert "--entry mine --prefix trunk. --drop 'fc.*' --arch NAME" in message
    backbone = loaded(typed(command_in(message), "test_resnet"))
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())
    said = refusal(save({"arch": "test_resnet"} | content, tmp_path))
    assert "--entry mine --prefix trunk. --drop 'fc.*' --arch test_resnet" in said
    assert loaded(typed(command_in(said))).arch == "test_resnet"


@pytest.mark.parametrize("layout", ["DINOv2 with registers", "DINOv3", "Swin", "ConvNeXt V2"])
def test_networks_in_their_own_codes_names_are_found_in_other_layouts(layout: str, tmp_path: Path) -> None:
    arch, _, original, _ = ORIGINALS[layout]
    state = flat_state(arch)
    written = original(state)
    content = prefixed(written.get("model", written), "a.b.") | {"c.head.weight": NUMBER}
    message = refusal(save({"mine": content, "epoch": 3}, tmp_path))
    assert f"--arch {arch} " in message
    backbone = loaded(typed(command_in(message)))
    assert backbone.arch == arch
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in state.items())


@pytest.mark.parametrize(("name", "arch"), [("resnet", "resnet18"), ("convnext", "convnext_tiny")])
def test_network_in_hugging_faces_names_is_found_in_other_layouts(name: str, arch: str, tmp_path: Path) -> None:
    state: State = dict(hugging_face.state_of(hugging_face.shapes_of(hugging_face.layouts()[name]["tensors"])))
    message = refusal(save({"mine": prefixed(state, "m."), "ema": {"x": NUMBER}}, tmp_path))
    assert "--entry mine --prefix m." in message
    assert ("--arch resnet18 " if name == "resnet" else "--arch NAME ") in message  # a ResNet's tensors show all
    backbone = loaded(typed(command_in(message), arch))
    plain = load_backbone(save(state, tmp_path, "plain.pth"), arch=arch, reading=Reading(mean=HALF, std=HALF))
    assert all(torch.equal(backbone.state_dict[key], value) for key, value in plain.state_dict.items())
    said = Reading(entry="mine", prefix="m.", drop=("*.weight",), mean=HALF, std=HALF)
    refusal(save({"mine": prefixed(state, "m.")}, tmp_path), arch, said)


@pytest.mark.parametrize("key", ["rope_embed.periods", "storage_tokens", "blocks.0.attn.qkv.bias"])
def test_part_in_its_own_code_s_words_is_not_dropped(key: str, tmp_path: Path) -> None:
    arch, _, original, _ = ORIGINALS["DINOv3"]
    path = save({"mine": original(flat_state(arch))}, tmp_path)
    said = Reading(entry="mine", drop=("mask_token", key), mean=HALF, std=HALF)
    assert re.search(rf"lacks \S+ .*of a {arch}|part of a {arch}", refusal(path, arch, said))
    refusal(path, None, said)


def test_networks_of_the_same_shapes_are_named_in_the_remark(tmp_path: Path) -> None:
    message = refusal(save({"mine": flat_state("resnet50d")}, tmp_path))
    assert "NAME is one of timm's resnet50d, resnetaa50d, resnetblur50d with" in message
    assert loaded(typed(command_in(message), "resnetaa50d")).arch == "resnetaa50d"


def test_what_the_user_or_a_config_says_already_is_in_the_command(tmp_path: Path) -> None:
    path = save({"mine": flat_state() | {"fc.weight": NUMBER}, "ema": other(flat_state())}, tmp_path)
    reading = Reading(entry="mine", mean=HALF, std=HALF)
    assert refusal(path, reading=reading).endswith(
        "--entry mine --drop 'fc.*' --arch resnet18 --mean 0.5 0.5 0.5 --std 0.5 0.5 0.5"
    )
    config = {"architecture": "resnet18", "pretrained_cfg": {"mean": HALF, "std": HALF}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    message = refusal(path)
    assert message.endswith("--arch resnet18")
    assert loaded(typed(command_in(message))).preprocessing.mean == HALF


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"entry": "state_dict"}, r"no --entry state_dict: .* are mine \(122\), ema\.0 \(1\)"),
        ({"entry": "mine.a"}, r"no --entry mine\.a"),
        ({"drop": ("epoch",)}, r"no tensors in what --drop epoch leaves: .* are mine \(122\), ema\.0 \(1\)"),
        ({"entry": "mine", "drop": ("*",)}, "no tensors in what"),
        ({"entry": "mine"}, "is none of the networks that are known by their keys"),
        ({"entry": "mine", "prefix": "encoder."}, r"no keys under --prefix encoder\.: they begin with a\., fc\."),
        ({"entry": "mine", "prefix": "a"}, r"no keys under --prefix a: give a\."),
        ({"entry": "mine", "prefix": "a.", "drop": ("head.*",)}, r"--drop head\.\* fits none of its keys"),
        ({"entry": "mine", "prefix": "a.", "drop": ("proj.*", "l*.bias")}, r"l\*\.bias drops layer1\.\S+, which is a"),
        (
            {"entry": "mine", "prefix": "a.", "drop": ("proj.*", "conv*")},
            r"--drop conv\* drops conv1\.weight, which is a",
        ),
        ({"entry": "mine", "prefix": "a."}, r"has proj\.weight, which a resnet18 does not.*--drop 'proj\.\*'"),
        ({"entry": "mine", "prefix": "a.", "drop": ("proj.*",)}, "its layout is not known here; give --mean and --std"),
    ],
)
def test_wrong_names_are_refused_with_those_that_are_there(options: Any, says: str, tmp_path: Path) -> None:
    net = prefixed(flat_state() | {"proj.weight": NUMBER}, "a.") | {"fc.weight": NUMBER}
    path = save({"mine": net, "ema": [{"weight": NUMBER}], "epoch": 3}, tmp_path)
    message = refusal(path, reading=Reading(**options))
    assert re.search(says, message), message


def test_tensors_are_as_strictly_checked_as_ever(tmp_path: Path) -> None:
    state = flat_state()
    said = Reading(entry="mine", mean=HALF, std=HALF)
    del state["layer2.0.conv1.weight"]
    assert "lacks layer2.0.conv1.weight" in refusal(save({"mine": state}, tmp_path), reading=said)
    state = flat_state() | {"layer4.1.conv2.weight": torch.zeros(512, 512, 1, 1)}
    assert "layer4.1.conv2.weight has shape" in refusal(save({"mine": state}, tmp_path), reading=said)
    state = flat_state() | {"conv1.weight": torch.full((64, 3, 7, 7), float("nan"))}
    assert "NaN" in refusal(save({"mine": state}, tmp_path), reading=said)
    assert "not a tensor" in refusal(save({"mine": flat_state() | {"bn1.weight": [1.0]}}, tmp_path), reading=said)
    path = save({"mine": flat_state()}, tmp_path)
    with pytest.raises(UserError, match="says already which network"):
        load_backbone(path, which="teacher", reading=said)
    assert "holds a resnet18, not a resnet50" in refusal(path, "resnet50", said)


def test_optimizer_alone_has_no_command(tmp_path: Path) -> None:
    message = refusal(save({"optimizer": {"state": {0: {"momentum": torch.zeros(64)}}}}, tmp_path))
    assert message.endswith("no convolution in it takes RGB images, give one that has")


def test_hostile_names_are_not_printed_as_a_command(tmp_path: Path) -> None:
    assert refusal(save({"a\n\x1b[31m": flat_state()}, tmp_path)).endswith("save its backbone's state dict alone")
    message = refusal(save({"$(rm -rf x)": flat_state()}, tmp_path))
    assert "--entry '$(rm -rf x)'" in message and loaded(typed(command_in(message))).arch == "resnet18"


def test_shared_and_looping_entries_are_looked_at_once(tmp_path: Path) -> None:
    tree: Any = {"mine": flat_state()}
    for level in range(60):
        tree = {"a": tree, "b": tree, "c": [tree] * 10, f"level{level}": 1}
    refusal(save(tree, tmp_path))


def test_conversion_of_a_named_network_is_proved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.backbones import trained_like

    state = trained_like("resnet18").state_dict
    path = save(lightning(state), tmp_path)
    args = typed(command_in(refusal(path)) + f" --to timm --out {tmp_path}")
    convert.main(args)
    (proof,) = json.loads((tmp_path / "mine.proof.json").read_text())["proofs"].values()
    assert proof["source"]["format"] == "--entry state_dict --prefix net.trunk."
    assert proof["source"]["dropped"] == {"outside --prefix net.trunk.": ["net.proj.0.weight", "loss.centre"]}


def test_help_lists_the_rows_of_the_table() -> None:
    from transfer.weights.backbone.codes import CODES
    from transfer.weights.backbone.sources import SOURCES, known_layouts

    assert all(row.name in known_layouts() for row in (*SOURCES, *CODES))
