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

SHORT = (
    "model.data_preprocessor.size=(32, 32)", "train_dataloader.dataset.pipeline.2.scale=(128, 64)",
    "train_dataloader.dataset.pipeline.3.crop_size=(32, 32)", "test_dataloader.dataset.pipeline.1.scale=(128, 64)",
    "train_dataloader.batch_size=2", "train_cfg.max_iters=2", "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=false", "test_dataloader.num_workers=0",
)  # fmt: skip


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
