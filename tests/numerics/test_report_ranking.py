"""Rankings over several benchmarks: against published tables, SciPy, written-out computations, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.report_records import done, failed, trials
from transfer.record import Metric, TrialRecord
from transfer.report.compare.ranking import (
    Ranking,
    interquartile_mean,
    iqm_interval,
    nemenyi_critical_difference,
    probability_of_improvement,
    rankings,
)
from transfer.report.compare.results import build_report
from transfer.report.lay_out.matrix import ranking_tables

NAMES = ("demo-seg", "demo-seg-frozen", "seg-voc", "seg-voc-frozen")


def records(means: dict[str, list[float]], seed: int = 0) -> list[TrialRecord]:
    rng = np.random.default_rng(seed)
    return [
        record
        for weights, values in means.items()
        for name, mean in zip(NAMES, values, strict=False)
        for record in trials(list(mean + rng.normal(0, 0.1, size=5)), weights=weights, benchmark=name)
    ]


def ranking(records: list[TrialRecord]) -> Ranking:
    (found,) = rankings(build_report(records))
    return found


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_quantiles_of_demsars_table_5(k: int, q: float) -> None:
    expected = q * math.sqrt(k * (k + 1) / (6 * 14))
    assert nemenyi_critical_difference(k, 14) == pytest.approx(expected, rel=5e-4)


def test_equal_weights_are_told_apart_by_rank_in_at_most_five_percent() -> None:
    rng = np.random.default_rng(1)
    ranks = stats.rankdata(rng.normal(size=(4000, 12, 5)), axis=2).mean(axis=1)
    wrong = np.mean(np.ptp(ranks, axis=1) > nemenyi_critical_difference(5, 12))
    assert wrong <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 4000)


def test_probability_of_improvement_is_the_mean_of_scipys_u_over_pairs() -> None:
    rng = np.random.default_rng(2)
    ours = [rng.normal(1, 1, size=5).round(1), rng.normal(0, 1, size=3).round(1)]
    theirs = [rng.normal(0, 1, size=4).round(1), rng.normal(0, 1, size=5).round(1)]
    expected = np.mean(
        [stats.mannwhitneyu(x, y).statistic / (len(x) * len(y)) for x, y in zip(ours, theirs, strict=True)]
    )
    assert probability_of_improvement(ours, theirs) == pytest.approx(expected, rel=1e-12)


def test_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    assert interquartile_mean([np.array([1.0, 9.0, 3.0, 4.0]), np.array([2.0, 100.0, 5.0, 6.0])]) == (3 + 4 + 5 + 6) / 4


def test_bootstrap_draws_within_each_benchmark() -> None:
    scores = [np.array([10.0, 10.1, 9.9, 10.0, 10.2]), np.array([50.0, 50.4, 49.8, 50.1, 50.3])]
    bounds = iqm_interval(scores)
    assert bounds is not None and bounds.low < interquartile_mean(scores) < bounds.high
    assert bounds.high - bounds.low < 1  # drawn from all ten alike, it would be above 10
    assert iqm_interval([scores[0], np.array([50.0])]) is None


@pytest.mark.parametrize("num_benchmarks", [4, 12])
def test_interval_holds_the_interquartile_mean_of_many_trials(num_benchmarks: int) -> None:
    means, rng, held = np.linspace(20, 80, num_benchmarks), np.random.default_rng(3), []
    truth = interquartile_mean([mean + rng.normal(size=20000) for mean in means])
    for _ in range(300):
        bounds = iqm_interval([mean + rng.normal(size=5) for mean in means])
        assert bounds is not None
        held.append(bounds.low <= truth <= bounds.high)
    assert 0.93 - 2.5 * math.sqrt(0.93 * 0.07 / 300) <= np.mean(held) <= 0.97 + 2.5 * math.sqrt(0.97 * 0.03 / 300)


def test_ranks_are_among_the_weights_measured_on_all_benchmarks() -> None:
    full = {"best": [60.0, 70.0, 50.0], "middle": [50.0, 60.0, 55.0], "last": [40.0, 50.0, 30.0]}
    found = ranking([*records(full), *records({"partly": [90.0]}, seed=1)])
    ranks = {each.standing.label: each.standing.average_rank for each in found.lines}
    assert ranks == pytest.approx({"best": 4 / 3, "middle": 5 / 3, "last": 3.0})
    assert [each.improvement for each in found.lines] == [pytest.approx(2 / 3), 1.0, None]
    assert [each.is_near_first for each in found.lines] == [True, True, found.critical_difference >= 3 - 4 / 3]


def test_lower_is_better_ranks_the_lowest_first_and_has_no_interquartile_mean() -> None:
    lower = [
        done(
            0.0,
            seed=seed,
            weights=weights,
            benchmark=name,
            metrics={"miou": Metric(value=base + seed, direction="lower")},
        )
        for weights, base in (("low", 1.0), ("high", 20.0))
        for name in NAMES
        for seed in range(3)
    ]
    found = ranking(lower)
    assert [(each.standing.label, each.improvement, each.iqm) for each in found.lines] == [
        ("low", 1.0, None),
        ("high", None, None),
    ]


def test_one_benchmark_or_one_initialisation_is_no_ranking_and_failures_are_marked() -> None:
    assert rankings(build_report(records({"a": [1.0], "b": [2.0]}))) == ()
    assert rankings(build_report(records({"a": [1.0, 2.0]}))) == ()
    both = [*records({"a": [1.0, 2.0], "b": [5.0, 6.0]}), failed(seed=7, weights="b", benchmark=NAMES[0])]
    (table,) = ranking_tables(build_report(both))
    assert [row.cells[0] for row in table.groups[0].rows] == ["b (1 of 11 failed)", "a (baseline)"]
