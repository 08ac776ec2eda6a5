"""The whole way in small: images, pre-training, conversion, trials of two initialisations, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.test_commands import run
from transfer.record import TrialRecord


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """A folder in which one epoch of pre-training and two trials of clustering and linear have been run."""
    folder = tmp_path_factory.mktemp("chain")
    commands = [
        ("pretrain", "demo", "epochs=1", "data.batch_size=500", "--data", digits / "imagefolder", "--out", "pretrain"),
        ("convert", "pretrain/backbone.pth", "--out", "converted"),
    ]
    for checkpoint, name in (("pretrain/backbone.pth", "twist"), ("random:resnet18", "random")):
        options = ("--data", digits, "--trials", "2", "--name", name, "--out", "runs")
        commands.append(("cluster", "demo", checkpoint, *options))
        commands.append(("transfer_cls", "demo-linear", checkpoint, *options))
    commands.append(("report", "runs", "--baseline", "random"))
    for tool, *arguments in commands:
        result = run(tool, *arguments, cwd=folder)
        assert result.returncode == 0, f"{tool}: {result.stdout}{result.stderr}"
    return folder


def test_every_trial_left_a_record(folder: Path) -> None:
    records = [TrialRecord.load(path) for path in (folder / "runs").rglob("record.json")]
    trials = sorted((record.benchmark, record.weights.name, record.seed) for record in records)
    assert trials == [
        (benchmark, weights, seed)
        for benchmark in ("demo-cluster", "demo-linear")
        for weights in ("random", "twist")
        for seed in (0, 1)
    ]
    assert all(record.status == "done" and not record.protocol_difference for record in records)


def test_the_conversion_is_proven_in_both_frameworks(folder: Path) -> None:
    proofs = json.loads((folder / "converted" / "backbone.proof.json").read_text())["proofs"]
    for target in ("detectron2", "mmseg"):
        for stage, found in proofs[target]["stages"].items():
            assert found["max_abs_difference"] <= found["tolerance"], (target, stage)


def test_the_report_holds_every_value_and_the_paired_difference(folder: Path) -> None:
    report = json.loads((folder / "runs" / "report.json").read_text())
    assert "demo-linear" in json.dumps(report)
    page = (folder / "runs" / "report.html").read_text()
    markdown = (folder / "runs" / "report.md").read_text()
    values = [
        metric.value
        for path in (folder / "runs").rglob("record.json")
        for metric in TrialRecord.load(path).metrics.values()
    ]
    table = (folder / "runs" / "report.csv").read_text()
    assert len(values) == 4 * 7 + 4 * 2 and all(f"{value}" in table for value in values)
    for text in (page, markdown):
        assert "twist" in text and "random" in text and "paired" in text.lower()


def test_the_whole_way_again_changes_nothing(folder: Path, digits: Path) -> None:
    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    before = state()
    overrides = ("epochs=1", "data.batch_size=500")
    for tool, *arguments in [
        ("pretrain", "demo", *overrides, "--data", digits / "imagefolder", "--out", "pretrain"),
        ("cluster", "demo", "pretrain/backbone.pth", "--data", digits, "--trials", "2", "--name", "twist"),
        ("report", "runs", "--baseline", "random"),
    ]:
        result = run(tool, *arguments, cwd=folder)
        assert result.returncode == 0, f"{tool}: {result.stdout}{result.stderr}"
    assert {path: time for path, time in state().items() if path.name != ".lock"} == {
        path: time for path, time in before.items() if path.name != ".lock"
    }
