"""The page about checkpoints: each of its commands, on a file that its program would have written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import tyro
from torch import nn

from tests.backbones import prefixed, trained_like
from tests.conftest import ROOT
from tests.hugging_face import layouts, write_folder
from tests.layouts import moco
from transfer.commands import convert

NUMBER = torch.zeros(1)
NETWORK = "tools/convert.sh hf://", "tools/transfer_cls.sh folder-linear timm:", "hf download"  # what needs one


def page() -> list[str]:
    """Its commands, a line each."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/checkpoints.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


COMMANDS = [line for line in page() if not line.startswith(NETWORK)]


def of_timm(name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = timm.create_model(name, num_classes=0).state_dict()
    return state


def resnet18(seed: int = 0) -> dict[str, torch.Tensor]:
    return trained_like("resnet18", seed).state_dict


def dinov2() -> dict[str, Any]:
    return {**of_timm("vit_small_patch14_dinov2"), "mask_token": torch.zeros(1, 384)}


def mae() -> dict[str, Any]:
    """github.com/facebookresearch/mae: util/misc.py, save_model."""
    decoder = {"mask_token": NUMBER, "decoder_embed.weight": NUMBER, "decoder_blocks.0.norm1.weight": NUMBER}
    return {"model": of_timm("vit_base_patch16_224") | decoder}


def solo_learn() -> dict[str, Any]:
    """github.com/vturrisi/solo-learn: solo/methods/base.py, by Lightning."""
    networks = prefixed(resnet18(), "backbone.") | prefixed(resnet18(1), "momentum_backbone.")
    return {"pytorch-lightning_version": "2.1.2", "state_dict": networks | {"classifier.weight": NUMBER}}


def lightly_train() -> dict[str, Any]:
    """github.com/lightly-ai/lightly-train: _checkpoint.py; the models are pickled whole."""
    info = {
        "version": "0.6",
        "models": {"model": nn.Linear(1, 1)},
        "normalize_args": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    }
    state = prefixed(resnet18(), "embedding_model.wrapped_model._features.")
    return {"pytorch-lightning_version": "2.1.2", "state_dict": state, "lightly_train": info}


def mmpretrain() -> dict[str, Any]:
    """github.com/open-mmlab/mmpretrain, by MMEngine's CheckpointHook."""
    state = prefixed(resnet18(), "backbone.") | {"head.fc.weight": NUMBER}
    return {"meta": {"mmpretrain_version": "1.2.0", "epoch": 200}, "state_dict": state, "optimizer": {}}


def unknown() -> dict[str, Any]:
    state = prefixed(resnet18(), "module.encoder.") | {"module.encoder.projector.0.weight": NUMBER}
    return {"state_dict": state, "epoch": 3}


WRITTEN: dict[str, Callable[[], dict[str, Any]]] = {
    "dinov2_vits14_pretrain.pth": dinov2,
    "mae_pretrain_vit_base.pth": lambda: {"model": of_timm("vit_base_patch16_224")},
    "checkpoint-799.pth": lambda: mae() | {"optimizer": {}, "epoch": 799, "scaler": {}},
    "byol-400ep.ckpt": solo_learn,
    "last.ckpt": lightly_train,
    "epoch_200.pth": mmpretrain,
    "convnext.pth": lambda: timm.create_model("convnext_atto").state_dict(),
    "moco_v2_800ep_pretrain.pth.tar": lambda: moco(resnet18()),
    "mine.ckpt": unknown,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_page_converts(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool, checkpoint, *options = shlex.split(command)
    assert tool == "tools/convert.sh"
    monkeypatch.chdir(tmp_path)
    file = checkpoint.rpartition("@")[2]
    if file.startswith("dinov2-small"):
        (tmp_path / "dinov2-small").mkdir()
        write_folder(layouts()["dinov2"], tmp_path / "dinov2-small")
    else:
        torch.save(WRITTEN[file](), tmp_path / file)
    convert.main(tyro.cli(convert.Args, args=[checkpoint, *options], config=(tyro.conf.OmitArgPrefixes,)))
    assert "max abs difference" in capsys.readouterr().out
    assert list(tmp_path.rglob("*.timm.safetensors")) and list(tmp_path.rglob("*.proof.json"))
    assert bool(list(tmp_path.rglob("*-teacher.*"))) == ("--which teacher" in command)


def test_no_command_of_the_page_is_left_out() -> None:
    assert len(page()) - len(COMMANDS) == len(NETWORK)
    assert {shlex.split(command)[1].rpartition("@")[2] for command in COMMANDS} >= WRITTEN.keys()
