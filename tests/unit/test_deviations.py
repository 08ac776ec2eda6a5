"""The table of deviations: no setting is left out, none is the same in words only."""

from __future__ import annotations

import re

import pytest

from tools.deviations.rows import NOT_STATED, Setting, Side, faults, same
from tools.deviations.sources import SOURCES
from tools.deviations.table import SIDES, text
from transfer import benchmarks
from twist_configs.pretrain import RECIPES


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_every_line_is_true_of_the_resolved_config_and_every_setting_has_one(side: Side) -> None:
    assert faults(side) == []


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_every_line_has_an_address(side: Side) -> None:
    assert all(SOURCES[setting.source][1].startswith("https://") for setting in side.settings)


def test_every_protocol_and_recipe_of_the_paper_has_a_table() -> None:
    paper = {row.group or row.name for row in benchmarks.of_suite("paper")}
    variants = {
        "finetune11 --grid cheap" if row.option == "--grid cheap" else row.name
        for row in benchmarks.BENCHMARKS.values()
        if row.option in ("--grid cheap", "--kmeans") and benchmarks.get(str(row.variant_of)).suite == "paper"
    }
    of_others = {"voc-c4", "coco-c4", "seg-ade20k", "seg-ade20k-linear", "nyu-depth-linear"}
    assert {side.name for side in SIDES} == paper | variants | of_others | (set(RECIPES) - {"demo", "small"})


def test_every_address_is_of_a_commit_a_release_or_a_paper() -> None:
    pinned = re.compile(r"/blob/([0-9a-f]{40}|v\d[\d.]*)/")
    papers = "https://arxiv.org/abs/"
    addresses = [address for _, address in SOURCES.values() if not address.startswith(papers)]
    assert [address for address in addresses if not pinned.search(address)] == []


def test_detectron2s_defaults_are_what_it_says() -> None:
    from detectron2.config import get_cfg

    from transfer.tasks.detection.config import leaves

    defaults = dict(leaves(get_cfg()))
    lines = [setting for side in SIDES for setting in side.settings if setting.source == "d2"]
    assert lines and [setting for setting in lines if not same(setting.official, defaults[setting.name])] == []


def test_a_wrong_line_is_found() -> None:
    lines = (
        Setting("lr", 0.1, "paper"),
        Setting("batch", 8, "paper", "smaller GPUs"),
        Setting("gone", 1, "paper"),
        Setting("seed", NOT_STATED, "paper"),
        Setting("seed", 0, "paper"),
    )
    ours = {"lr": 0.2, "batch": 8, "seed": 0, "crop": 224, "workers": 4}
    assert faults(Side(name="x", ours=lambda: ours, settings=lines, no_protocol=("workers",))) == [
        "x: lr is 0.2, not 0.1, and has no reason",
        "x: batch is the same and has a reason to differ",
        "x: gone is not a setting of ours",
        "x: seed is 0, not NotStated(what='not stated'), and has no reason",
        "x: seed has two lines",
        "x: crop has no line",
    ]


def test_values_are_compared_by_what_they_mean() -> None:
    assert same((1, [2, 3]), [1, (2, 3)]) and same(0.1 + 0.2, 0.3) and same(20, 20.0)
    assert not same(True, 1) and not same("20", 20) and not same(None, 0)
    assert (text(1e-6), text((512, 512)), text(NOT_STATED)) == ("1e-06", "512, 512", "not stated")
