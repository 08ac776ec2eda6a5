"""Fine-tuning of each of the eleven data sets in its true layout, watched; the grid, killed and in two processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.classification_fixtures import FIXTURES, Written
from tests.classification_trials import make_trial, run_until_killed
from tests.untouched import Asked, Watched, assert_untouched_until_scoring, watch
from transfer import benchmarks
from transfer.datasets import DATASETS
from transfer.tasks.classification import grid_task, task
from transfer.tasks.classification.protocol import load_protocol

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = (
    "lrs=0.01,0.1",
    "weight_decays=1e-4",
    "grid_steps=1",
    "steps=2",
    "batch_size=8",
    "views.size=32",
    "views.resize=32",
)
Finetuned = dict[str, tuple[Written, Watched]]


@pytest.fixture(scope="module")
def eleven(tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """Every data set's fixture, and what a trial on it did."""
    home = tmp_path_factory.mktemp("eleven")
    written = {name: make(home / name) for name, make in FIXTURES.items()}
    trials = [
        Asked(
            benchmark=f"{name}-finetune",
            data=str(home / name),
            work_dir=str(home / "work" / name),
            overrides=QUICK,
        )
        for name in FIXTURES
    ]
    return dict(zip(FIXTURES, zip(written.values(), watch(trials), strict=True), strict=True))


@pytest.mark.parametrize("name", FIXTURES)
def test_no_list_label_or_image_of_the_test_is_opened_before_the_final_scoring(name: str, eleven: Finetuned) -> None:
    written, watched = eleven[name]
    assert_untouched_until_scoring(watched, written.test_only)


@pytest.mark.parametrize("name", FIXTURES)
def test_a_trial_has_the_metric_of_its_data_set_and_one_scoring(name: str, eleven: Finetuned) -> None:
    written, watched = eleven[name]
    outcome, metric = watched.outcome, DATASETS[name].metric
    assert set(outcome["metrics"]) - {"top1", "top5"} == {metric} - {"top1", "top5"}
    assert 0 <= outcome["metrics"][metric] <= 100
    num_images = len(written.images["test"])
    assert outcome["test_scorings"] == [{"split": "test", "num_images": num_images, "purpose": "final scoring"}]
    assert outcome["inflated"] == {}  # it would take the test images for each point of the grid
    choices = outcome["choices"]
    assert choices["lr"] in (0.01, 0.1) and choices["weight_decay"] == 1e-4
    assert choices[f"val_{metric}"] == max(score for *_, score in choices["grid"] if score is not None)
    assert [point[:2] for point in choices["grid"]] == [[0.01, 1e-4], [0.1, 1e-4]]


def test_official_validation_images_are_used_where_there_are_some(eleven: Finetuned) -> None:
    for name, (written, watched) in eleven.items():
        config, num_val = json.loads(watched.outcome["resolved_config"]), watched.outcome["choices"]["val_images"]
        official = name in ("aircraft", "dtd", "flowers102", "voc2007")
        assert (config["val_images"] == "official") == official, name
        if official:
            assert num_val == len(written.images["val"]), name


def test_a_killed_grid_goes_on_with_its_next_point_and_two_processes_share_it(tmp_path: Path) -> None:
    FIXTURES["pets"](tmp_path / "pets")
    trial = make_trial("pets-finetune", *QUICK, data=tmp_path / "pets", work_dir=tmp_path / "whole")
    whole = task.run(trial)
    steps: list[str] = []
    trial = make_trial(
        "pets-finetune",
        *QUICK,
        data=tmp_path / "pets",
        work_dir=tmp_path / "killed",
        progress=lambda done, total, what: steps.append(what),
    )
    run_until_killed(trial, 1, of="point 2 ")
    assert task.run(trial) == whole
    assert not [what for what in steps if what.startswith("point 1 ")]
    shared = make_trial("pets-finetune", *QUICK, data=tmp_path / "pets", work_dir=tmp_path / "shared")
    assert grid_task.run(shared, *load_protocol(shared.benchmark, shared.overrides), num_processes=2) == whole


def test_a_diverged_point_is_never_chosen_and_a_grid_of_them_is_an_error(tmp_path: Path) -> None:
    FIXTURES["pets"](tmp_path / "pets")
    quick = [override for override in QUICK if not override.startswith(("lrs", "grid_steps"))]
    trial = make_trial(
        "pets-finetune", *quick, "lrs=1e25,0.01", "grid_steps=3", data=tmp_path / "pets", work_dir=tmp_path / "one"
    )
    choices = task.run(trial).choices
    assert choices["lr"] == 0.01 and choices["grid"][0][2] is None
    all_of_them = make_trial(
        "pets-finetune", *quick, "lrs=1e25", "grid_steps=3", data=tmp_path / "pets", work_dir=tmp_path / "all"
    )
    with pytest.raises(FloatingPointError, match="all 1 points"):
        task.run(all_of_them)


def test_weight_decay_and_norm_momentum_are_simclr_s() -> None:
    protocol, _ = load_protocol(benchmarks.get("dtd-finetune"), ())
    assert (len(protocol.lrs), len(protocol.weight_decays)) == (7, 8)
    assert (protocol.lrs[0], protocol.lrs[-1]) == pytest.approx((1e-4, 0.1))
    assert protocol.weight_decays[0] == 0 and protocol.weight_decays[-1] == pytest.approx(1e-3)
    point = grid_task.Point(lr=0.1, weight_decay=1e-3)
    settings = grid_task.sgd_settings(protocol, point, 20_000, 1880)
    assert settings.weight_decay == pytest.approx(0.01)
    assert settings.norm_momentum == 0.1  # 7 steps an epoch
    assert grid_task.sgd_settings(protocol, point, 20_000, 75_750).norm_momentum == pytest.approx(10 / 295)
