"""The table of deviations: no setting is left out, none is the same in words only."""

from __future__ import annotations

import pytest

from tools.deviations.rows import NOT_STATED, Setting, Side, faults, same
from tools.deviations.sources import SOURCES
from tools.deviations.table import SIDES, text


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_every_line_is_true_of_the_resolved_config_and_every_setting_has_one(side: Side) -> None:
    assert faults(side) == []


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_every_line_has_an_address(side: Side) -> None:
    assert all(SOURCES[setting.source][1].startswith("https://") for setting in side.settings)


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
