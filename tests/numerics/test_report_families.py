"""One rule for many comparisons: against SciPy, worked out, and by simulation at five trials."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.report_records import done, failed, trials
from transfer.record import TrialRecord
from transfer.report.compare.families import simultaneous_interval
from transfer.report.compare.model import BenchmarkResult, ResultRow
from transfer.report.compare.power import additional_trials, smallest_detectable_difference
from transfer.report.compare.results import build_report
from transfer.report.compare.statistics import equivalence_p_value, holm, paired_difference, summarize

BASE = [50.0, 51.5, 52.1, 49.0, 53.2]
GAINS = [[1.0, 2.0, 1.5, 0.5, 1.2], [3.0, 2.0, 3.5, 4.0, 2.8], [0.2, -0.3, 0.1, 0.4, -0.2]]


def rows_of(result: BenchmarkResult) -> dict[str, ResultRow]:
    return {row.label: row for row in result.rows}


def three_benchmarks() -> list[TrialRecord]:
    names = ("demo-seg", "demo-seg-frozen", "seg-voc")
    records = [each for name in names for each in trials(BASE, weights="random-resnet18", benchmark=name)]
    for name, gains in zip(names, GAINS, strict=True):
        records += trials([value + gain for value, gain in zip(BASE, gains, strict=True)], benchmark=name)
    return records


def test_table_plot_detectable_difference_and_number_of_trials_share_one_family() -> None:
    results = build_report(three_benchmarks()).benchmarks
    differences = [rows_of(result)["twist"].differences["miou"] for result in results]
    by_benchmark = dict(zip([result.key.benchmark for result in results], differences, strict=True))
    found = [by_benchmark[name] for name in ("demo-seg", "demo-seg-frozen", "seg-voc")]
    p_values = [float(stats.ttest_1samp(gains, 0).pvalue) for gains in GAINS]
    assert [each.p_holm for each in found] == pytest.approx(holm(p_values), rel=1e-9)
    assert [each.verdict for each in found] == ["better", "better", "undecided"]
    for each, gains in zip(found, GAINS, strict=True):
        sd = float(np.std(gains, ddof=1))
        bounds = stats.ttest_1samp(gains, 0).confidence_interval(1 - 0.05 / 3)
        assert each.simultaneous is not None
        assert (each.simultaneous.low, each.simultaneous.high) == pytest.approx(bounds, rel=1e-9)
        assert each.smallest_detectable == pytest.approx(smallest_detectable_difference(sd, 5, alpha=0.05 / 3))
        assert each.more_trials == additional_trials(1.0, sd, 5, alpha=0.05 / 3)
    # Bold is the same claim where there are two rows: its p values are the table's.
    leaders = {result.key.benchmark: result.leader for result in results}
    assert {name: leader.p_holm for name, leader in leaders.items() if leader} == pytest.approx(
        {name: each.p_holm for name, each in by_benchmark.items()}, rel=1e-9
    )


def test_other_metrics_and_off_protocol_trials_are_in_no_family() -> None:
    both = [{"miou": value, "macc": value * 1.2} for value in BASE]
    more = [{"miou": value + seed**2, "macc": value + 20 + seed**2} for seed, value in enumerate(BASE)]
    (result,) = build_report([*trials(both, weights="random-resnet18"), *trials(more)]).benchmarks
    found = rows_of(result)["twist"].differences
    assert found["miou"].p_holm == found["miou"].p_value  # the only member
    assert found["macc"].p_value is not None
    assert (found["macc"].p_holm, found["macc"].simultaneous, found["macc"].verdict) == (None, None, "")


def test_simultaneous_intervals_hold_all_differences_in_95_percent_of_experiments() -> None:
    samples = np.random.default_rng(21).normal(1.5, 1.0, size=(1200, 8, 5))
    held = []
    for experiment in samples:
        bounds = [simultaneous_interval(summarize(list(each)), 8, "top1") for each in experiment]
        held.append(all(each is not None and each.low <= 1.5 <= each.high for each in bounds))
    assert 0.93 <= np.mean(held) <= 0.97


def test_best_of_all_is_an_intersection_of_claims_without_a_correction_over_the_rows() -> None:
    rng = np.random.default_rng(3)
    best = [60.0, 60.6, 59.7, 60.3, 60.1]
    others = {f"weights-{index}": list(rng.normal(58.5, 0.4, size=5)) for index in range(29)}
    records = [*trials(best), *(each for name, values in others.items() for each in trials(values, weights=name))]
    (result,) = build_report(records).benchmarks
    assert result.leader is not None
    expected = max(float(stats.ttest_rel(best, values).pvalue) for values in others.values())
    assert result.leader.p_value == result.leader.p_holm == pytest.approx(expected, rel=1e-9)
    assert expected < 0.05 < expected * 29
    assert (result.best, len(result.leader.behind), result.leader.undecided) == ("twist", 29, ())


def is_bold(figures: np.ndarray) -> np.ndarray:
    """Of each experiment (experiments, weights, trials): whether the row of the highest mean is shown to be best."""
    order = np.argsort(figures.mean(axis=2), axis=1)
    ranked = np.take_along_axis(figures, order[:, :, None], axis=1)
    p_values = stats.ttest_rel(ranked[:, -1:], ranked[:, :-1], axis=2).pvalue
    return np.asarray(p_values.max(axis=1) < 0.05)


@pytest.mark.parametrize("tied", [2, 4])
def test_false_bold_is_at_most_five_percent(tied: int) -> None:
    experiments = 40_000
    centres = np.array([60.0] * tied + [20.0])  # the last is far behind
    figures = np.random.default_rng(tied).normal(centres[:, None], 1, size=(experiments, tied + 1, 5))
    bold = is_bold(figures)
    # The report's own answers to the first of them are these.
    for experiment, expected in zip(figures[:60], bold, strict=False):
        records = [each for i, values in enumerate(experiment) for each in trials(list(values), weights=f"w{i}")]
        (result,) = build_report(records).benchmarks
        assert (result.best is not None) == expected
    assert bold.mean() <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / experiments)  # 5.3 %


def test_rows_that_may_be_as_good_as_the_leader_are_named_and_the_true_best_is_nearly_always_among_them() -> None:
    rng = np.random.default_rng(8)
    lost = 0
    for _ in range(300):
        records = [each for i in range(4) for each in trials(list(rng.normal(60, 1, size=5)), weights=f"w{i}")]
        (result,) = build_report(records).benchmarks
        assert result.leader is not None
        lost += "w0" in result.leader.behind  # w0 is as good as the best
    assert lost / 300 <= 0.05


def test_a_row_of_one_seed_takes_bold_from_nobody() -> None:
    clear = [*trials([50.0, 51.0, 52.0], weights="random-a"), *trials([60.0, 61.5, 62.2])]
    (result,) = build_report([*clear, done(70.0, weights="once")]).benchmarks
    assert result.leader is not None
    assert (result.best, result.leader.left_out) == ("twist", ("once",))


def test_a_row_with_a_failed_trial_is_never_best_and_its_survivors_are_still_rivals() -> None:
    worse = trials([50.0, 51.0, 52.0], weights="random-a")
    (result,) = build_report([*worse, *trials([60.0, 61.5, 62.2]), failed(seed=3)]).benchmarks
    assert result.best is None
    assert result.leader is not None and result.leader.label == "random-a"


def test_equivalence_is_scipys_two_one_sided_tests() -> None:
    differences = [0.1, -0.2, 0.15, 0.05, -0.1]
    below = stats.ttest_1samp(differences, 0.5, alternative="less").pvalue
    above = stats.ttest_1samp(differences, -0.5, alternative="greater").pvalue
    assert equivalence_p_value(summarize(differences), 0.5) == pytest.approx(max(below, above), rel=1e-9)


def test_with_a_margin_two_weights_are_better_equivalent_or_undecided() -> None:
    results = build_report(three_benchmarks(), margin=0.8).benchmarks
    found = {each.key.benchmark: rows_of(each)["twist"].differences["miou"].verdict for each in results}
    assert found == {"demo-seg": "better", "demo-seg-frozen": "better", "seg-voc": "equivalent"}


def test_equivalence_is_claimed_falsely_in_five_percent_at_the_margin() -> None:
    samples = np.random.default_rng(4).normal(0.5, 0.2, size=(3000, 5))
    wrong = np.mean([equivalence_p_value(summarize(list(each)), 0.5) < 0.05 for each in samples])
    assert abs(wrong - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 3000)


def test_correlation_is_scipys_and_efficiency_is_the_ratio_of_variances() -> None:
    ours, theirs = [60.0, 62.0, 61.0, 59.0, 63.5], BASE
    found = paired_difference(dict(enumerate(ours)), dict(enumerate(theirs)))
    assert found.correlation == pytest.approx(stats.pearsonr(ours, theirs).statistic, rel=1e-9)
    unpaired = np.var(ours, ddof=1) + np.var(theirs, ddof=1)
    assert found.efficiency == pytest.approx(unpaired / np.var(np.subtract(ours, theirs), ddof=1), rel=1e-9)


def test_pairing_is_worth_the_number_of_unpaired_trials_that_estimate_as_well() -> None:
    rng = np.random.default_rng(6)
    common, noise = rng.normal(0, 2, size=4000), rng.normal(0, 1, size=(2, 4000))
    found = paired_difference(dict(enumerate(common + noise[0])), dict(enumerate(common + noise[1])))
    assert found.efficiency == pytest.approx((5 + 5) / 2, rel=0.1)
