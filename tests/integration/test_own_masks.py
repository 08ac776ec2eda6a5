"""A trial on a user's own masks; from their folders to a report: test_own_walk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.own_masks import make_masks
from tests.segmentation_trials import make_trial
from transfer import benchmarks
from transfer.doctor.own_data import completed
from transfer.tasks.segmentation.task import run

SMALL = (
    "model.backbone.depth=18", "model.neck.in_channels=[64, 128, 256, 512]", "model.neck.out_channels=16",
    "model.decode_head.in_channels=[16, 16, 16, 16]", "model.decode_head.channels=16",
    "model.data_preprocessor.size=(32, 32)", "train_dataloader.dataset.pipeline.2.scale=(128, 64)",
    "train_dataloader.dataset.pipeline.3.crop_size=(32, 32)", "test_dataloader.dataset.pipeline.1.scale=(128, 64)",
    "train_dataloader.batch_size=2", "train_cfg.max_iters=2", "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=false", "test_dataloader.num_workers=0",
)  # fmt: skip


@pytest.mark.usefixtures("mmengine_on_one_thread")
def test_own_masks_are_trained_tested_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_masks(tmp_path / "leaves")
    trial = make_trial(root, tmp_path / "weights", tmp_path / "work", *SMALL, benchmark="own-masks")
    benchmark = replace(trial.benchmark, dataset=completed(benchmarks.get("own-masks").dataset, root))
    outcome = run(replace(trial, benchmark=benchmark))
    assert 0 < outcome.metrics["miou"].value < 100 and outcome.arch == "resnet18"
    assert len(outcome.pictures) == 3 and outcome.data_remarks[0].startswith("leaves: 3 classes (0, 1, 2)")
    assert not any("num_classes" in line or "num_images" in line for line in outcome.protocol_difference)
