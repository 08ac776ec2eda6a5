"""Linear evaluation of the eleven data sets in their true layouts, watched: the test waits for the final scoring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.classification_fixtures import FIXTURES, Written
from tests.untouched import Asked, Watched, assert_untouched_until_scoring, watch
from transfer.datasets import DATASETS

SMALL = ("resize=24", "crop=24")  # of the fixtures' 16 × 20 pixels; dtd alone takes the protocol's 224
Linear = dict[str, tuple[Written, Watched]]


@pytest.fixture(scope="module")
def eleven(tmp_path_factory: pytest.TempPathFactory) -> Linear:
    """Every data set's fixture, and what a trial on it did."""
    home = tmp_path_factory.mktemp("eleven")
    written = {name: make(home / name) for name, make in FIXTURES.items()}
    trials = [
        Asked(
            benchmark=f"{name}-linear",
            data=str(home / name),
            work_dir=str(home / "work" / name),
            overrides=() if name == "dtd" else SMALL,
        )
        for name in FIXTURES
    ]
    return dict(zip(FIXTURES, zip(written.values(), watch(trials), strict=True), strict=True))


@pytest.mark.parametrize("name", FIXTURES)
def test_no_list_label_or_image_of_the_test_is_opened_before_the_final_scoring(name: str, eleven: Linear) -> None:
    written, watched = eleven[name]
    assert_untouched_until_scoring(watched, written.test_only)


@pytest.mark.parametrize("name", FIXTURES)
def test_a_trial_has_the_metric_of_its_data_set_one_scoring_and_an_inflated_reference(
    name: str, eleven: Linear
) -> None:
    written, watched = eleven[name]
    outcome, metric = watched.outcome, DATASETS[name].metric
    assert set(outcome["metrics"]) - {"top1", "top5"} == {metric} - {"top1", "top5"}
    assert ("top1" in outcome["metrics"]) == (metric != "map11")
    value = outcome["metrics"][metric]
    assert 0 < value <= outcome["inflated"][metric] <= 100
    num_images = len(written.images["test"])
    assert outcome["test_scorings"] == [{"split": "test", "num_images": num_images, "purpose": "final scoring"}]
    assert set(outcome["inflated"]) == {metric}


@pytest.mark.parametrize("name", FIXTURES)
def test_l2_is_one_of_45_values_and_every_fit_has_converged(name: str, eleven: Linear) -> None:
    _, watched = eleven[name]
    choices, config = watched.outcome["choices"], json.loads(watched.outcome["resolved_config"])
    assert choices["l2"] in config["l2_grid"]
    assert choices["num_values"] == len(config["l2_grid"]) == 45
    assert choices["num_not_converged"] == 0
    assert choices["gradient_norm"] <= choices["largest_gradient_norm"] <= config["tolerance"]
    assert config["dataset"] == name


def test_the_protocol_itself_runs_without_a_difference(eleven: Linear) -> None:
    assert eleven["dtd"][1].outcome["protocol_difference"] == []
    assert eleven["cars"][1].outcome["protocol_difference"] == ["resize: 224 -> 24", "crop: 224 -> 24"]


def test_official_validation_images_are_used_where_there_are_some(eleven: Linear) -> None:
    for name, (_, watched) in eleven.items():
        config = json.loads(watched.outcome["resolved_config"])
        assert (config["val_images"] == "official") == (name in ("aircraft", "dtd", "flowers102", "voc2007")), name


def test_the_helper_sees_a_test_file_that_is_read_too_early(tmp_path: Path) -> None:
    """The proof could fail: a hook that saw nothing would find everything in order."""
    test = tmp_path / "test.txt"
    early = Watched(touched=[str(tmp_path / "train.txt"), str(test), "the ledger is opened: test"], outcome={})
    with pytest.raises(AssertionError, match="before the final scoring"):
        assert_untouched_until_scoring(early, [test])
    blind = Watched(touched=[str(tmp_path / "train.txt"), "the ledger is opened: test"], outcome={})
    with pytest.raises(AssertionError, match="blind"):
        assert_untouched_until_scoring(blind, [test])
