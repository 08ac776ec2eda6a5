"""Class folders: the test waits for the final scoring, and a trial that looks twice fails."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.untouched import Asked, assert_untouched_until_scoring, watch
from transfer.benchmarks import BENCHMARKS
from transfer.trials.plan import plan_trials, weights_ref
from transfer.trials.run_one import run_trial


def test_class_folders_of_the_test_are_neither_listed_nor_opened_before_the_final_scoring(
    digits: Path, tmp_path: Path
) -> None:
    """Also where features of the test images lie in the cache from a trial before."""
    quick = ("labels_per_class=3", "l2_grid=0.1,10")
    asked = Asked(benchmark="demo-linear", data=str(digits), work_dir=str(tmp_path), overrides=quick)
    first, again = watch([asked, asked])
    folders = [(digits / "imagefolder/val").resolve()]
    for watched in (first, again):
        assert_untouched_until_scoring(watched, folders)
        assert watched.outcome["test_scorings"] == [{"split": "val", "num_images": 1000, "purpose": "final scoring"}]
    assert first.outcome == again.outcome
    assert len(again.touched) < len(first.touched) / 10  # features came from the cache


def test_a_trial_that_opens_the_test_images_twice_is_a_failed_trial(digits: Path, tmp_path: Path) -> None:
    benchmark = dataclasses.replace(BENCHMARKS["demo-linear"], task="tests.reopening_task")
    (plan,) = plan_trials(
        runs=tmp_path,
        suite="demo",
        benchmarks=[benchmark],
        weights=[weights_ref("random:resnet18")],
        seeds=(0,),
        data=digits,
    )
    record = run_trial(plan, lambda done, total, what: None)[0]
    assert record.status == "failed"
    assert record.metrics == {}
    assert "opened before, for final scoring" in (record.error or "")
