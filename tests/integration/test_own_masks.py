"""A user's own masks, from images and masks in folders to a report that names them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import run_module
from tests.own_masks import make_masks
from tests.segmentation_trials import make_trial
from transfer import benchmarks
from transfer.doctor.own_data import completed
from transfer.record import TrialRecord
from transfer.tasks.segmentation.task import run

MODULE = "transfer.commands.transfer_seg"
SMALL = (
    "model.backbone.depth=18", "model.neck.in_channels=[64, 128, 256, 512]", "model.neck.out_channels=16",
    "model.decode_head.in_channels=[16, 16, 16, 16]", "model.decode_head.channels=16",
)  # fmt: skip
SHORT = (
    "model.data_preprocessor.size=(32, 32)", "train_dataloader.dataset.pipeline.2.scale=(128, 64)",
    "train_dataloader.dataset.pipeline.3.crop_size=(32, 32)", "test_dataloader.dataset.pipeline.1.scale=(128, 64)",
    "train_dataloader.batch_size=2", "train_cfg.max_iters=2", "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=false", "test_dataloader.num_workers=0",
)  # fmt: skip


def test_own_masks_go_from_their_folders_to_a_report_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_masks(tmp_path / "leaves", is_coloured=True)
    arguments = ("own-masks", "random:resnet18", *SMALL, *SHORT, "--trials", "1", "--data", root, "--device", "cpu")
    planned = run_module(MODULE, *arguments, "--plan", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "1 to be run" in planned.stdout and "3 classes (ground, square, disc)" in planned.stdout
    done = run_module(MODULE, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 training and 3 test images" in done.stdout and "schedule: 2 iterations" in done.stdout
    (file,) = tmp_path.glob("runs/leaves/own-masks/*/trial-0/record.json")
    record = TrialRecord.load(file)
    assert record.data_remarks[0].startswith("leaves: 3 classes (ground, square, disc), 6 training and 3 test images")
    assert 0 < record.metrics["miou"].value < 100
    assert not any("num_classes" in line or "num_images" in line for line in record.protocol_difference)

    report = run_module("transfer.commands.report", "runs", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert "leaves: 3 classes" in (tmp_path / "runs/report.md").read_text()

    image = next((root / "images/val").glob("*.png"))
    image.write_bytes(image.read_bytes() + b"\n")
    changed = run_module(MODULE, *arguments, cwd=tmp_path)
    assert changed.returncode == 2 and "was made with other settings" in changed.stderr


@pytest.mark.usefixtures("mmengine_on_one_thread")
def test_a_frozen_network_of_any_kind_is_probed_on_own_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_masks(tmp_path / "leaves")
    name = "own-masks-any-frozen"
    trial = make_trial(root, tmp_path / "weights", tmp_path / "work", *SHORT, benchmark=name)
    benchmark = replace(trial.benchmark, dataset=completed(benchmarks.get(name).dataset, root))
    outcome = run(replace(trial, benchmark=benchmark))
    assert 0 < outcome.metrics["miou"].value < 100 and outcome.arch == "resnet18"
    assert len(outcome.pictures) == 3 and outcome.data_remarks[0].startswith("leaves: 3 classes (0, 1, 2)")
