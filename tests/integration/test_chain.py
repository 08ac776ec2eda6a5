"""The whole way in small: images, pre-training, conversion, trials of two initialisations, report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.backbones import prefixed
from tests.integration.test_commands import run
from transfer.record import TrialRecord
from transfer.weights.backbone import load_backbone


@pytest.fixture(scope="module")
def images(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 of each digit to pre-train on."""
    root = tmp_path_factory.mktemp("images")
    for digit in sorted((digits / "imagefolder" / "train").iterdir()):
        (root / "train" / digit.name).mkdir(parents=True)
        for image in sorted(digit.iterdir())[:40]:
            (root / "train" / digit.name / image.name).symlink_to(image)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: Path, images: Path) -> Path:
    """A folder in which one epoch of pre-training and two trials of clustering and linear have been run."""
    folder = tmp_path_factory.mktemp("chain")
    commands = [
        ("pretrain", "demo", "epochs=1", "data.batch_size=50", "--data", images, "--out", "pretrain"),
        ("convert", "pretrain/backbone.pth", "--out", "converted"),
    ]
    weights = ("--weights", "twist=pretrain/backbone.pth", "random=random:resnet18")
    chosen = ("--only", "demo-cluster", "demo-linear", "--trials", "2")
    commands.append(("suite", "demo", *chosen, *weights, "--data", digits, "--out", "runs"))
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


def as_the_official_code_saves_it(export: dict[str, Any]) -> dict[str, Any]:
    """A full checkpoint, ``save_dict`` in the official train.py
    (https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/train.py).

    Its weight decay comes out of a schedule in NumPy; its arguments are a Namespace with a tensor in it, the threshold
    of self-labeling.
    """
    names = {"mlp.0": 0, "mlp.1": 1, "mlp.3": 4, "mlp.4": 5}  # a dropout follows their first activation
    names = {ours: f"projection_head.{theirs}" for ours, theirs in names.items()}
    names |= {"mlp.6": "last_linear", "nbs": "norm"}

    def theirs(key: str) -> str:
        layer, _, parameter = key.rpartition(".")
        return f"{names[layer]}.{parameter}"

    head: dict[str, Tensor] = {theirs(key): value for key, value in export["head"].items()}
    schedule = 1.5e-6 + 0.0 * (1 + np.cos(np.pi * np.arange(10) / 10))
    group = {"lr": 0.004, "momentum": 0.9, "eta": 0.001}
    groups = [
        {**group, "weight_decay": schedule[3], "lars_exclude": False, "params": [0]},
        {**group, "weight_decay": 0.0, "lars_exclude": True, "params": [1]},
    ]
    settings = {"backbone": "resnet50", "act": "relu", "dim": 64, "hid_dim": 512, "lbn_type": "bn", "bunch_size": 256}
    return {
        "model": prefixed(export["backbone"], "backbone.") | prefixed(head, "projection_heads."),
        "backbone": export["backbone"],
        "optimizer": {"state": {0: {"mu": torch.zeros(3)}, 1: {"mu": torch.zeros(3)}}, "param_groups": groups},
        "epoch": 849,
        "args": argparse.Namespace(**settings, global_crops_scale=(0.14, 1.0), threshold=torch.tensor(0.7)),
        "scaler": {"scale": 65536.0, "growth_factor": 2.0, "growth_interval": 2000, "_growth_tracker": 3},
    }


def test_a_full_checkpoint_of_the_official_code_gives_the_same_figures_in_every_task(
    folder: Path, digits: Path, tmp_path: Path
) -> None:
    ours, official = folder / "pretrain" / "backbone.pth", tmp_path / "official.pth"
    torch.save(as_the_official_code_saves_it(torch.load(ours, weights_only=True)), official)
    with pytest.raises(Exception, match="weights_only"):  # so torch itself refuses it
        torch.load(official, weights_only=True)

    read, expected = load_backbone(official), load_backbone(ours)
    assert (read.source_format, read.arch) == ("official TWIST", "resnet18")
    for one, two in ((read.state_dict, expected.state_dict), (read.head, expected.head)):
        assert one is not None and two is not None and list(one) == list(two)
        assert all(torch.equal(one[key], two[key]) for key in two)

    short = ("SOLVER.MAX_ITER=2", "SOLVER.STEPS=(1,)", "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.0")
    for tool, *arguments in [
        ("cluster", "demo", official),
        ("transfer_cls", "demo-linear", official),
        ("transfer_det", "demo-voc", official, *short),
        ("transfer_seg", "demo", official, "train_cfg.max_iters=2"),
    ]:
        options = ("--data", digits, "--trials", "1", "--name", "official", "--out", "runs")
        result = run(tool, *arguments, *options, cwd=tmp_path)
        assert result.returncode == 0, f"{tool}: {result.stdout}{result.stderr}"
    records = {record.benchmark: record for record in map(TrialRecord.load, tmp_path.rglob("record.json"))}
    assert sorted(records) == ["demo-cluster", "demo-linear", "demo-seg", "demo-voc"]
    assert all(record.status == "done" for record in records.values())
    assert records["demo-cluster"].choices["clusters_from"] == "class head"
    for benchmark in ("demo-cluster", "demo-linear"):
        (path,) = (folder / "runs").glob(f"*/{benchmark}/twist-*/trial-0/record.json")
        assert records[benchmark].metrics == TrialRecord.load(path).metrics


def test_the_whole_way_again_changes_nothing(folder: Path, digits: Path, images: Path) -> None:
    def state() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    before = state()
    for tool, *arguments in [
        ("pretrain", "demo", "epochs=1", "data.batch_size=50", "--data", images, "--out", "pretrain"),
        ("cluster", "demo", "pretrain/backbone.pth", "--data", digits, "--trials", "2", "--name", "twist"),
        ("report", "runs", "--baseline", "random"),
    ]:
        result = run(tool, *arguments, cwd=folder)
        assert result.returncode == 0, f"{tool}: {result.stdout}{result.stderr}"
    assert {path: time for path, time in state().items() if path.name != ".lock"} == {
        path: time for path, time in before.items() if path.name != ".lock"
    }
