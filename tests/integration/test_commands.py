"""The commands as a user types them: help that is quick, and bad input that is one sentence."""

from __future__ import annotations

import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT

LAUNCHERS = [
    "pretrain",
    "convert",
    "transfer_det",
    "transfer_seg",
    "transfer_cls",
    "cluster",
    "suite",
    "report",
    "demo_data",
    "ablate",
    "bench",
    "check_data",
    "publish",
    "preflight",
]
HEAVY = ("torch", "torchvision", "detectron2", "mmseg", "mmengine", "timm", "sklearn")


def run(tool: str, *arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "tools" / f"{tool}.sh"), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_refused(result: subprocess.CompletedProcess[str], *says: str) -> None:
    """Exit code 2 and one sentence that says all of ``says``."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines[-1].startswith("error: "), result.stderr
    for part in says:
        assert part in lines[-1]


@pytest.mark.parametrize("tool", LAUNCHERS)
def test_help_teaches_without_importing_a_framework(tool: str, tmp_path: Path) -> None:
    result = run(tool, "--help", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert result.returncode == 0
    assert f"tools/{tool}.sh" in result.stdout and len(result.stdout.splitlines()) > 8
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines() if "import time:" in line}
    assert "twist_common.cli" in imported  # the profile was really read
    assert not imported & set(HEAVY)


@pytest.mark.parametrize("tool", ["demo", "test", "setup"])
def test_the_shell_tools_explain_themselves(tool: str, tmp_path: Path) -> None:
    result = run(tool, "--help", cwd=tmp_path)
    assert result.returncode == 0 and result.stdout.startswith(f"usage: tools/{tool}.sh")


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("pretrain", ["rn5"], ["recipe", "'rn5'", "did you mean 'rn50'"]),
        ("transfer_det", ["demo-vok", "random:resnet18"], ["benchmark", "did you mean 'demo-voc'"]),
        ("transfer_seg", ["cityscape", "random:resnet18"], ["benchmark", "did you mean 'cityscapes'"]),
        ("transfer_cls", ["dmo", "random:resnet18"], ["benchmark", "did you mean 'demo'"]),
        ("cluster", ["demos", "random:resnet18"], ["benchmark", "did you mean 'demo'"]),
        ("suite", ["dmo", "--weights", "a=random:resnet18"], ["suite", "did you mean 'demo'"]),
        ("suite", ["demo"], ["runs/pretrain/demo/backbone.pth", "tools/pretrain.sh demo"]),
        ("suite", ["paper"], ["needs checkpoints", "tools/suite.sh paper"]),
        ("suite", ["paper", "random:resnet50"], ["voc", "coco", "cityscapes", "DATA_ROOT"]),
        ("suite", ["demo", "a=random:resnet18", "a=random:resnet50"], ["two initialisations are called 'a'"]),
        ("suite", ["demo", "random:resnet18", "a/b=random:resnet18"], ["a/b=random:resnet18", "does not exist"]),
        ("suite", ["demo", "=random:resnet18"], ["=random:resnet18", "does not exist"]),
        ("suite", ["demo", "random:resnet18", "--only", "demo-vok"], ["benchmark", "did you mean 'demo-voc'"]),
        ("suite", ["demo", "random:resnet18", "--skip", "voc"], ["benchmark of the suite demo 'voc'"]),
        ("suite", ["demo", "random:resnet18", "--only", "demo-seg", "--skip", "demo-seg"], ["leave no benchmark"]),
        ("transfer_det", ["demo-voc", "nowhere.pth"], ["nowhere.pth", "does not exist"]),
        ("report", ["runs", "--signers", "keys"], ["--signers is for --verify"]),
        ("transfer_det", ["demo-voc", "random:resnet18", "--data", "nowhere"], ["nowhere", "tools/demo_data.sh"]),
        ("transfer_det", ["demo-voc", "random:resnet18", "--trials", "0"], ["--trials is 0"]),
        ("transfer_det", ["demo-voc", "random:resnet18", "--seeds", "0", "1-3", "2"], ["seed 2 twice"]),
        ("cluster", ["demo", "random:resnet18", "--seeds", "-1"], ["--seeds", "-1"]),
        ("suite", ["demo", "--weights", "a=random:resnet18", "--trials", "1", "--seeds", "4"], ["exclude each other"]),
        ("transfer_det", ["demo-voc", "random:resnet18", "--device", "tpu"], ["tpu", "auto, cpu, cuda"]),
        ("transfer_det", ["demo-voc", "random:resnet18", "--name", "a/b"], ["a/b"]),
        ("convert", ["nowhere.pth"], ["nowhere.pth"]),
        ("report", ["nowhere"], ["nowhere"]),
        ("report", ["--as", "a=b", "runs"], ["--as takes WEIGHTS=METHOD, not 'runs'"]),
        ("publish", ["a.pth", "--report", "no.json", "--out", "o"], ["there is no no.json", "tools/report.sh"]),
        ("pretrain", ["demo", "--plan", "--gpus", "-1"], ["--gpus is -1"]),
        ("demo", ["--trials", "none"], ["--trials is 'none'"]),
        ("demo", ["--trial", "3"], ["--trial"]),
    ],
)
def test_bad_use_is_one_sentence(tool: str, arguments: list[str], says: list[str], tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    assert_refused(run(tool, *arguments, cwd=tmp_path, DATA_ROOT=str(tmp_path)), *says)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits"]


def bad_checkpoints(folder: Path) -> dict[str, Path]:
    """Files that are no usable ResNet-18, one of each kind, by what is wrong with them."""
    whole = folder / "whole.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, whole)

    class Hostile:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (os.system, (f"touch {folder / 'executed'}",))

    files = {
        "empty": b"",
        "text": b"not a checkpoint at all\n" * 50,
        "truncated": whole.read_bytes()[: whole.stat().st_size // 2],
        "hostile": pickle.dumps({"state_dict": Hostile()}),
    }
    paths = {}
    for name, content in files.items():
        paths[name] = folder / f"{name}.pth"
        paths[name].write_bytes(content)
    with zipfile.ZipFile(folder / "archive.pth", "w") as archive:
        archive.writestr("readme.txt", "a zip file, but no checkpoint")
    paths["archive"] = folder / "archive.pth"
    for name, content in {"partial": torch.load(whole, weights_only=True), "list": [1, 2, 3]}.items():
        paths[name] = folder / f"{name}.pth"
        torch.save(content, paths[name])
    whole.unlink()
    return paths


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "hostile", "archive", "partial", "list"])
def test_convert_refuses_what_is_no_checkpoint(kind: str, tmp_path: Path) -> None:
    path = bad_checkpoints(tmp_path)[kind]
    before = sorted(tmp_path.iterdir())
    assert_refused(run("convert", path, "--out", tmp_path / "out", cwd=tmp_path), path.name)
    assert sorted(tmp_path.iterdir()) == before  # nothing written, nothing executed


def test_a_trial_with_a_bad_checkpoint_is_refused_and_leaves_nothing(tmp_path: Path, digits: Path) -> None:
    path = bad_checkpoints(tmp_path)["truncated"]
    result = run("transfer_cls", "demo", path, "--data", digits, "--out", tmp_path / "runs", cwd=tmp_path)
    assert_refused(result, "truncated.pth")
    assert not list((tmp_path / "runs").rglob("*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="writes below /proc, which nobody can")
def test_an_unwritable_output_is_refused(tmp_path: Path, digits: Path) -> None:
    result = run("cluster", "demo", "random:resnet18", "--data", digits, "--out", "/proc/nowhere", cwd=tmp_path)
    assert_refused(result, "/proc/nowhere", "--out")


def test_an_output_below_a_file_is_refused(tmp_path: Path, digits: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("cluster", "demo", "random:resnet18", "--data", digits, "--out", tmp_path / "file", cwd=tmp_path)
    assert_refused(result, "file", "--out")
