"""Canaries: bands that can be missed, and what the user is told then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from transfer import benchmarks
from transfer.preflight.canary import RANDOM, SUPERVISED, missed, run_canaries
from transfer.tasks.segmentation.config import load_protocol, resolve_config
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from twist_common.errors import UserError

VOC = benchmarks.get("voc")


@pytest.mark.parametrize("name", [row.name for row in benchmarks.BENCHMARKS.values() if row.canary])
def test_every_canary_is_short_and_every_band_has_its_source(name: str) -> None:
    canary = benchmarks.get(name).canary
    assert canary is not None
    for band in filter(None, (canary.random, canary.supervised)):
        assert 0 <= band.low < band.high < 100
        assert band.source
    assert canary.overrides or name == "demo-knn", "a canary is short; nothing is trained in the digits' neighbours"


def test_a_canary_of_any_architecture_starts_from_the_weights_own(tmp_path: Path) -> None:
    started: list[str] = []
    (planned,) = plan_trials(
        runs=tmp_path / "runs",
        suite="transfer",
        benchmarks=[benchmarks.get("seg-voc-linear")],
        weights=[weights_ref("random:deit_small")],
        seeds=[3],
        data=tmp_path,
    )

    def launch(plans: Sequence[TrialPlan]) -> None:
        started.extend(each.weights.source for each in plans)
        raise UserError("far enough")

    with pytest.raises(UserError, match="far enough"):
        run_canaries([planned], launch, None)
    assert started == ["random:deit_small"]


@pytest.mark.parametrize(
    "name", [row.name for row in benchmarks.BENCHMARKS.values() if row.canary and row.task == benchmarks.SEGMENTATION]
)
def test_a_canary_of_segmentation_is_a_run_that_its_protocol_can_make(name: str) -> None:
    row = benchmarks.get(name)
    assert row.canary is not None
    config, _ = resolve_config(load_protocol(row.config_path), row.canary.overrides)
    assert config.train_cfg.max_iters == config.param_scheduler[0].end <= 1000
    assert all(each.end <= 40 for each in config.param_scheduler[1:])


def plan(name: str, folder: Path) -> TrialPlan:
    (found,) = plan_trials(
        runs=folder / "runs",
        suite="demo",
        benchmarks=[benchmarks.get(name)],
        weights=[weights_ref("random:resnet18")],
        seeds=[0],
        data=folder,
    )
    return found


def nothing_runs(plans: object) -> None:
    raise AssertionError("a canary was started")


def test_a_figure_inside_its_band_is_fine() -> None:
    assert missed(VOC, {RANDOM: 2.0, SUPERVISED: 30.0}) is None


@pytest.mark.parametrize("figure", [0.0, 56.5])
def test_a_figure_outside_its_band_is_named_with_the_band_and_its_source(figure: float) -> None:
    found = missed(VOC, {RANDOM: figure})
    assert found is not None
    assert f"box_ap {figure:.2f}" in found and "above 0 and up to 56.4" in found and "table 5" in found


def test_ade20k_of_one_class_everywhere_is_outside_its_band() -> None:
    wall = 0.1576  # of all pixels: ADE20K's most frequent class
    for name in ("seg-ade20k", "seg-ade20k-frozen", "seg-ade20k-any", "seg-ade20k-linear", "seg-ade20k-linear4"):
        assert missed(benchmarks.get(name), {RANDOM: 100 * wall / 150}) is not None
        assert missed(benchmarks.get(name), {RANDOM: 2.0}) is None


def test_supervised_weights_must_do_better_than_random_ones() -> None:
    found = missed(VOC, {RANDOM: 5.0, SUPERVISED: 4.0})
    assert found is not None and "no better than 5.00" in found


@pytest.mark.parametrize(
    ("benchmark", "why"),
    [
        ("demo-linear", "where a short one ends is not measured"),
        ("voc-any", "where a short one ends is not measured"),
        ("own-masks", "nobody knows where a short trial on your data ends"),
        ("own-coco-any-frozen", "nobody knows where a short trial on your data ends"),
    ],
)
def test_a_benchmark_without_a_canary_is_the_users_error(benchmark: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{benchmark} has no canary, as {why}: leave --canary out"):
        run_canaries([plan(benchmark, tmp_path)], nothing_runs, None)


def test_supervised_weights_without_a_band_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no band is known for supervised weights in demo-voc"):
        run_canaries([plan("demo-voc", tmp_path)], nothing_runs, Path("some.pth"))
    assert list(tmp_path.iterdir()) == []
