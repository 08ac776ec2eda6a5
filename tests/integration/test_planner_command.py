"""``--plan`` as users type it: every command has it, it is quick, and it leaves nothing behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_commands import run
from twist_common.files import sha256_file

COMMANDS = [
    ("transfer_det", "demo-voc", "random:resnet18"),
    ("transfer_seg", "demo", "random:resnet18"),
    ("transfer_cls", "demo", "random:resnet18"),
    ("cluster", "demo", "random:resnet18"),
    ("suite", "demo", "--weights", "random=random:resnet18", "twist=nowhere.pth"),
]


def tree(root: Path) -> dict[str, str]:
    """Everything below a folder, with hashes of files."""
    paths = sorted(root.rglob("*"))
    return {str(path.relative_to(root)): sha256_file(path) if path.is_file() else "" for path in paths}


def plan(tool: str, *arguments: str | Path, cwd: Path, data: Path, **environment: str) -> dict[str, Any]:
    result = run(tool, *arguments, "--plan", "--json", cwd=cwd, DATA_ROOT=str(data), **environment)
    assert result.returncode == 0, result.stderr
    content: dict[str, Any] = json.loads(result.stdout)
    return content


@pytest.mark.parametrize(("tool", "arguments"), [(tool, arguments) for tool, *arguments in COMMANDS])
def test_every_command_plans_without_torch_and_writes_nothing(
    tool: str, arguments: list[str], digits: Path, tmp_path: Path
) -> None:
    before = tree(digits)
    result = run(tool, *arguments, "--plan", cwd=tmp_path, DATA_ROOT=str(digits.parent), PYTHONPROFILEIMPORTTIME="1")
    assert result.returncode == 0, result.stderr[-2000:]
    assert "5 to be run (seed 0-4)" in result.stdout and "unknown, give --probe" in result.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines() if "import time:" in line}
    assert "transfer.commands.plan" in imported and not imported & {"torch", "detectron2", "mmseg", "sklearn"}
    assert tree(digits) == before and not list(tmp_path.iterdir())
    if "twist=nowhere.pth" in arguments:
        assert "missing checkpoint" in result.stdout and "nowhere.pth does not exist (for twist)" in result.stdout


def test_a_plan_for_data_and_gpus_that_are_elsewhere(tmp_path: Path) -> None:
    weights = ("--weights", "random=random:resnet50")
    found = plan("suite", "paper", *weights, "--gpu", "h100", "--gpus", "8", cwd=tmp_path, data=tmp_path / "data")
    assert all(row["estimate"]["kind"] == "GPU table" for row in found["rows"])
    assert found["total"]["num_trials_unknown"] == 0
    even = found["total"]["device_seconds"] / 8
    longest = max(row["estimate"]["device_seconds"] / row["num_devices"] for row in found["rows"])
    assert even <= found["total"]["wall_seconds"] <= even + longest  # of trials with one GPU each, some end last
    assert any("VOCtrainval_11-May-2012.tar" in what for what in found["missing"])
    assert not list(tmp_path.iterdir())


def test_recorded_trials_and_a_probe_tell_the_time(digits: Path, tmp_path: Path) -> None:
    """Three steps of one user: ask, measure, run; then other weights are planned from what ran."""
    linear = ("demo-linear", "random:resnet18", "--trials", "2")
    found = plan("transfer_cls", *linear, "--probe", cwd=tmp_path, data=digits.parent)
    estimate = found["rows"][0]["estimate"]
    assert estimate["kind"] == "probe" and estimate["device_seconds"] > 0
    assert estimate["source"].startswith("probe on this machine: ") and "features " in estimate["source"]
    assert not list(tmp_path.iterdir())

    assert run("transfer_cls", *linear, cwd=tmp_path, DATA_ROOT=str(digits.parent)).returncode == 0
    before = tree(tmp_path)
    found = plan("transfer_cls", *linear[:-1], "4", cwd=tmp_path, data=digits.parent)
    row = found["rows"][0]
    assert row["seeds"] == {"to run": [2, 3], "done": [0, 1]}
    walls = [json.loads(path.read_text())["wall_seconds"] for path in (tmp_path / "runs").rglob("record.json")]
    assert row["estimate"]["kind"] == "recorded"
    assert row["estimate"]["device_seconds"] == pytest.approx(sum(walls) / 2)
    assert {"records", "logs and the rest"} <= {item["what"] for item in row["disk"]}
    assert tree(tmp_path) == before

    other = ("demo-linear", "random:resnet18", "--out", "elsewhere")
    assert plan("transfer_cls", *other, cwd=tmp_path, data=digits.parent)["rows"][0]["estimate"]["kind"] == "unknown"
    found = plan("transfer_cls", *other, "--from", "runs", cwd=tmp_path, data=digits.parent)
    assert "2 records of demo-linear" in found["rows"][0]["estimate"]["source"]


def test_a_probe_of_segmentation_watches_training_and_test_and_leaves_nothing(digits: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="scratch-") as scratch:  # tmp_path is too long for sockets
        found = plan(
            "transfer_seg", "demo", "random:resnet18", "--frozen", "--probe", "--jobs", "1",
            cwd=tmp_path, data=digits.parent, TMPDIR=scratch,
        )  # fmt: skip
        assert not list(Path(scratch).glob("probe-*"))
    estimate = found["rows"][0]["estimate"]
    assert estimate["kind"] == "probe" and estimate["low"] <= estimate["device_seconds"] <= estimate["high"]
    assert "training" in estimate["source"] and "testing" in estimate["source"]


def test_a_probe_that_fails_says_so_and_the_plan_goes_on(digits: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not a checkpoint")
    found = plan("transfer_cls", "demo-linear", broken, "--probe", cwd=tmp_path, data=digits.parent)
    estimate = found["rows"][0]["estimate"]
    assert estimate["device_seconds"] is None and "the probe failed: UserError" in estimate["source"]
