"""From a short trial's progress to a whole trial's time, against sums done by hand."""

from __future__ import annotations

import pytest

from transfer.planner.makespan import wall_seconds
from transfer.planner.timeline import Tick, extrapolate
from transfer.work import Phase, Work

TRAINED = Phase(what="training", num_images=400, steps=100, trains=True)
TESTED = Phase(what="testing", num_images=50, trains=False)
WORK = Work(arch="resnet18", phases=(TRAINED, TESTED))


def training(*seconds: float, total: int) -> list[Tick]:
    return [Tick(at, number, total, "training") for number, at in enumerate(seconds, start=1)]


def test_a_cut_training_is_drawn_out_and_what_is_around_it_counts_once() -> None:
    """Start-up 10 s to the first step's end; 2 s a step; the last step does 5 s more; test 1 s an image; 3 s at the
    end. In all 10 + 98 x 2 to step 99, 2 + 5 for the last, 50 x 1, 3.
    """
    ticks = [*training(10, 12, 14, 21, total=4), Tick(31, 10, 50, "testing"), Tick(71, 50, 50, "testing")]
    found = extrapolate(ticks, WORK, end=74.0, cut=True)
    assert found is not None
    assert found.wall_seconds == pytest.approx(10 + 98 * 2 + 7 + 50 + 3)
    assert (found.deviation, found.unseen, found.to_the_end) == (0.0, (), True)


def test_a_phase_that_was_stopped_is_drawn_out_to_its_end() -> None:
    ticks = [*training(10, 12, 14, 16, total=4), Tick(26, 10, 50, "testing"), Tick(36, 20, 50, "testing")]
    found = extrapolate(ticks, WORK, end=None, cut=True)
    assert found is not None
    assert found.wall_seconds == pytest.approx(10 + 99 * 2 + 50)
    assert not found.to_the_end


def test_a_training_that_is_not_cut_keeps_its_own_length() -> None:
    found = extrapolate([*training(1, 2, 3, total=3)], WORK, end=4.0, cut=False)
    assert found is not None and found.wall_seconds == 4.0
    assert found.unseen == ("testing",)


def test_uneven_steps_widen_the_range() -> None:
    """Steps of 1 and 3 s in turn: mean 2, standard error of four 0.577, drawn out over the 95 steps that are left."""
    found = extrapolate(training(10, 11, 14, 15, 18, total=200), WORK, end=None, cut=True)
    assert found is not None
    assert found.wall_seconds == pytest.approx(18 + 95 * 2)
    assert found.deviation == pytest.approx(95 * (4 / 3) ** 0.5 / 2)


def test_what_begins_again_is_counted_again() -> None:
    """Features of two splits under one name: 1 s an image of 10, then 1 s an image of 20, stopped at 5."""
    first = [Tick(at, at, 10, "features") for at in (2, 10)]
    second = [Tick(10 + at, at, 20, "features") for at in (1, 5)]
    found = extrapolate([*first, *second], Work(arch="resnet18", phases=()), end=None, cut=False)
    assert found is not None and found.wall_seconds == pytest.approx(30)


def test_too_little_to_go_by_gives_nothing() -> None:
    assert extrapolate([], WORK, end=None, cut=True) is None
    assert extrapolate(training(10, total=4), WORK, end=None, cut=True) is None
    assert extrapolate(training(10, 12, total=2), WORK, end=None, cut=True) is None  # the last step may be special


def test_trials_side_by_side_take_as_long_as_the_runner_would() -> None:
    assert wall_seconds([], 2) == 0.0
    assert wall_seconds([(3.0, 1), (3.0, 1), (3.0, 1)], 2) == 6.0
    assert wall_seconds([(3.0, 1), (3.0, 1), (3.0, 1)], 3, jobs=1) == 9.0
    # Those that need most devices go first: 4 s on both, then 1 s beside 5 s.
    assert wall_seconds([(1.0, 1), (5.0, 1), (4.0, 2)], 2) == 9.0
