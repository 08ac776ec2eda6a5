"""The command refuses damaged and hostile files: exit 2, one sentence, nothing written, nothing run."""

from __future__ import annotations

import os
import pickle
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backbones import flat_state
from tests.layouts import barlow_twins, moco, official, swav
from transfer.commands.convert import COMMAND, Args, main
from twist_common import cli

KEY = "layer2.0.conv1.weight"


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.mark}",))


def saved(content: Any) -> Callable[[Path, Path], None]:
    return lambda path, mark: torch.save(content(), path)


def changed(**changes: Any) -> Callable[[Path, Path], None]:
    """A ResNet-18 in which the tensor ``KEY`` is something else."""
    return saved(lambda: flat_state() | {KEY: changes["value"]()})


def bytes_of(content: bytes) -> Callable[[Path, Path], None]:
    return lambda path, mark: path.write_bytes(content) and None


def truncated(path: Path, mark: Path) -> None:
    torch.save(flat_state(), path)
    path.write_bytes(path.read_bytes()[:-2000])


def bare_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Hostile(mark)}, protocol=2))


def beside_a_whole_backbone(path: Path, mark: Path) -> None:
    torch.save({**official(flat_state()), "callback": Hostile(mark)}, path)


def zip_bomb(path: Path, mark: Path) -> None:
    """64 MB of zeros in 64 kB, where torch keeps the pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("model/data.pkl", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(1 << 20))
        archive.writestr("model/version", "3\n")


def huge_safetensors_header(path: Path, mark: Path) -> None:
    path.with_suffix(".safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def without_key(path: Path, mark: Path) -> None:
    torch.save({key: value for key, value in flat_state().items() if key != KEY}, path)


def spoiled(number: float) -> torch.Tensor:
    tensor = torch.ones(128, 64, 3, 3)
    tensor[1, 2, 0, 0] = number
    return tensor


Make = Callable[[Path, Path], None]
FILES: dict[str, tuple[Make, str]] = {
    "empty": (bytes_of(b""), "is empty"),
    "text": (bytes_of(b"version https://git-lfs.github.com/spec/v1\n"), "not a checkpoint"),
    "noise": (bytes_of(random.Random(0).randbytes(5000)), "not a checkpoint"),
    "truncated": (truncated, "not a checkpoint"),
    "pickle that runs a command": (bare_pickle, "not run"),
    "object that runs a command beside a backbone": (beside_a_whole_backbone, "not run"),
    "zip bomb": (zip_bomb, "not a checkpoint"),
    "NaN": (changed(value=lambda: spoiled(float("nan"))), f"{KEY} holds NaN"),
    "infinity": (changed(value=lambda: spoiled(float("inf"))), f"{KEY} holds NaN or infinity"),
    "too large for half precision, stored in it": (
        changed(value=lambda: spoiled(1e6).half()),
        f"{KEY} holds NaN or infinity",
    ),
    "missing key": (without_key, f"lacks {KEY}"),
    "extra key": (saved(lambda: flat_state() | {"layer2.0.gate": torch.zeros(1)}), "has layer2.0.gate"),
    "other shape": (changed(value=lambda: torch.zeros(128, 64, 1, 1)), f"{KEY} has shape [128, 64, 1, 1]"),
    "a shape that would fill the memory": (
        changed(value=lambda: torch.ones(()).expand(1 << 20, 1 << 20, 3, 3)),
        "would fill 3.96e+13 bytes",
    ),
    "quantised": (changed(value=lambda: torch.ones((), dtype=torch.int8).expand(128, 64, 3, 3)), "torch.int8"),
    "not a tensor": (changed(value=lambda: "conv"), "not a tensor"),
    "two layouts at once": (saved(lambda: {**barlow_twins(flat_state()), **moco(flat_state())}), "is ambiguous"),
    "two layouts in one state dict": (saved(lambda: {**flat_state(), **swav(flat_state())}), "is ambiguous"),
    "optimizer alone": (
        saved(lambda: {"optimizer": {"state": {}, "param_groups": []}, "epoch": 3}),
        "optimizer's state and no network",
    ),
    "classifier alone": (saved(lambda: {"fc.weight": torch.zeros(10, 512)}), "no known layout"),
    "list": (saved(lambda: [torch.zeros(3)]), "not a checkpoint's dict"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_file_is_refused_with_one_sentence_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make, says = FILES[name]
    path, mark, out = tmp_path / "model.pth", tmp_path / "was_run", tmp_path / "out"
    make(path, mark)
    assert says in refusal(path, out, monkeypatch, capsys)
    assert not mark.exists() and not out.exists()
    assert list(tmp_path.iterdir()) == [path]


def test_safetensors_header_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    huge_safetensors_header(tmp_path / "model", tmp_path)
    assert "not a checkpoint" in refusal(tmp_path / "model.safetensors", tmp_path / "out", monkeypatch, capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--arch", "resnet50"], "holds a resnet18, not a resnet50"),
        (["--arch", "resnet19"], "did you mean 'resnet18'"),
        (["--which", "teacher"], "has no teacher"),
    ],
)
def test_whole_file_with_wrong_arguments_is_refused_and_leaves_nothing(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tmp_path / "model.pth", tmp_path / "out"
    torch.save(flat_state(), path)
    assert says in refusal(path, out, monkeypatch, capsys, *arguments)
    assert not out.exists()


def test_framework_without_the_architecture_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "model.pth", tmp_path / "out"
    torch.save(flat_state("resnet50w2"), path)
    assert "timm has no resnet50w2" in refusal(path, out, monkeypatch, capsys, "--to", "timm")
    assert not out.exists()


def test_hostile_file_would_run_its_command_if_it_were_let_through(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pth", tmp_path / "was_run"
    bare_pickle(path, mark)
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the payload does nothing, so the tests above protect nothing"


def refusal(
    path: Path, out: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    """What the command says; it has to be one sentence, with exit code 2."""
    patch.setattr(sys, "argv", [COMMAND, str(path), "--out", str(out), *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.run(Args, main, prog=COMMAND)
    said = capsys.readouterr().err.strip()
    assert ended.value.code == cli.EXIT_BAD_USE, said
    assert said.startswith("error: ") and "\n" not in said, said
    return said
