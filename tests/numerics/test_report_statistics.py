"""The report's statistics against SciPy, figures worked out by hand, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from transfer.report.compare.power import paired_t_power, smallest_detectable_difference
from transfer.report.compare.statistics import Interval, paired_difference, summarize


def test_summary_of_hand_computed_values() -> None:
    found = summarize([2.0, 4.0, 6.0])
    assert (found.n, found.mean, found.sd) == (3, 4.0, 2.0)
    assert found.interval is not None
    # For two degrees of freedom the quantile has a closed form: c * sqrt(2 / (1 - c^2)) at confidence c.
    half = 0.95 * math.sqrt(2 / (1 - 0.95**2)) * 2 / math.sqrt(3)
    assert found.interval.low == pytest.approx(4 - half, rel=1e-12)
    assert found.interval.high == pytest.approx(4 + half, rel=1e-12)


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(50, 3, size=5)
    interval = summarize(list(values)).interval
    assert interval is not None
    expected = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-12)


def test_interval_holds_the_true_mean_in_95_percent_of_samples() -> None:
    rng = np.random.default_rng(1)
    intervals = [summarize(list(sample)).interval for sample in rng.normal(7, 2, size=(2000, 5))]
    held = np.mean([each is not None and each.low <= 7 <= each.high for each in intervals])
    assert abs(held - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


def test_one_value_has_no_spread_and_no_interval() -> None:
    found = summarize([3.5])
    assert (found.n, found.mean, found.sd, found.interval, found.identical) == (1, 3.5, None, None, False)


def test_no_value_has_no_figure() -> None:
    found = summarize([])
    assert (found.n, found.mean, found.sd, found.interval) == (0, None, None, None)


def test_identical_values_claim_no_certainty() -> None:
    found = summarize([66.2] * 5)
    assert (found.mean, found.sd, found.interval, found.identical) == (66.2, 0.0, None, True)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(broken: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        summarize([1.0, broken])


def test_paired_difference_is_scipys_over_the_common_seeds() -> None:
    ours = {0: 61.2, 1: 60.1, 2: 62.8, 3: 59.9, 7: 10.0}
    theirs = {1: 58.0, 0: 58.9, 3: 59.0, 2: 59.5, 9: 90.0}
    found = paired_difference(ours, theirs)
    expected = stats.ttest_rel([61.2, 60.1, 62.8, 59.9], [58.9, 58.0, 59.5, 59.0])
    bounds = expected.confidence_interval(0.95)
    assert found.seeds == (0, 1, 2, 3)
    assert found.summary.mean == pytest.approx(2.15)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.summary.interval is not None
    assert (found.summary.interval.low, found.summary.interval.high) == pytest.approx(bounds, rel=1e-9)


def test_p_is_below_5_percent_exactly_where_the_interval_leaves_out_zero() -> None:
    rng = np.random.default_rng(2)
    verdicts = set()
    for sample in rng.normal(1.0, 1.0, size=(60, 5)):
        found = paired_difference(dict(enumerate(sample)), dict.fromkeys(range(5), 0.0))
        interval = found.summary.interval
        assert isinstance(interval, Interval) and found.p_value is not None
        significant = found.p_value < 0.05
        assert significant == (interval.low > 0 or interval.high < 0)
        verdicts.add(significant)
    assert verdicts == {True, False}


def test_equal_differences_up_to_rounding_have_no_test() -> None:
    # 1.1 - 1.0 != 2.1 - 2.0 in binary
    found = paired_difference({0: 1.1, 1: 2.1, 2: 3.1}, {0: 1.0, 1: 2.0, 2: 3.0})
    assert found.summary.identical
    assert (found.p_value, found.smallest_detectable, found.summary.interval) == (None, None, None)


def test_small_but_real_spread_is_not_taken_for_rounding() -> None:
    found = paired_difference({0: 50.0, 1: 50.00001, 2: 50.0}, {0: 40.0, 1: 40.0, 2: 40.0})
    assert not found.summary.identical
    assert found.p_value is not None


@pytest.mark.parametrize(("common", "n"), [({5: 1.0}, 0), ({0: 1.0}, 1), ({0: 1.0, 1: 1.5}, 2)])
def test_below_three_pairs_there_is_no_interval_and_no_test(common: dict[int, float], n: int) -> None:
    found = paired_difference({0: 2.0, 1: 3.0}, common)
    assert found.summary.n == n
    assert (found.p_value, found.p_sign_flip, found.smallest_detectable, found.more_trials) == (None,) * 4
    assert found.summary.interval is None


def test_two_values_have_a_spread_and_no_interval() -> None:
    found = summarize([4.0, 6.0])
    assert (found.mean, found.sd, found.interval) == (5.0, pytest.approx(math.sqrt(2)), None)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_power_agrees_with_the_noncentral_f_distribution(n: int) -> None:
    # T squared is noncentral F(1, n - 1): another route to the same probability.
    critical = stats.f.ppf(0.95, 1, n - 1)
    for noncentrality in (0.5, 2.0, 4.0, 8.0, 16.0):
        expected = stats.ncf.sf(critical, 1, n - 1, noncentrality**2)
        assert paired_t_power(noncentrality, n) == pytest.approx(expected, abs=1e-8)


def test_power_without_a_difference_is_the_error_rate() -> None:
    assert paired_t_power(0.0, 5) == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_smallest_detectable_difference_has_80_percent_power(n: int) -> None:
    difference = smallest_detectable_difference(2.5, n)
    assert difference is not None
    assert paired_t_power(difference / (2.5 / math.sqrt(n)), n) == pytest.approx(0.8, abs=1e-9)


def test_smallest_detectable_difference_is_found_in_80_percent_of_simulated_experiments() -> None:
    difference = smallest_detectable_difference(1.5, 5)
    assert difference is not None
    samples = np.random.default_rng(3).normal(difference, 1.5, size=(20000, 5))
    found = np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05)
    assert abs(found - 0.8) < 3 * math.sqrt(0.8 * 0.2 / 20000)


def test_smallest_detectable_difference_against_the_tables() -> None:
    # Cohen's d of a paired t test, two-sided 5 %, power 80 %, n = 10: 0.996; many trials: (1.96 + 0.8416) / sqrt(n).
    assert smallest_detectable_difference(1.0, 10) == pytest.approx(0.996, abs=5e-4)
    assert smallest_detectable_difference(1.0, 1000) == pytest.approx(2.8016 / math.sqrt(1000), rel=2e-3)


@pytest.mark.parametrize("n", [0, 1])
def test_smallest_detectable_difference_needs_two_trials(n: int) -> None:
    assert smallest_detectable_difference(1.0, n) is None


@pytest.mark.parametrize("values", [[1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 5.0], [3.3, 3.3, 3.3, 3.3, 3.4]])
def test_summary_of_tied_values_is_scipys(values: list[float]) -> None:
    found = summarize(values)
    assert found.interval is not None
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.sd) == (pytest.approx(np.mean(values)), pytest.approx(stats.tstd(values)))
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [3, 5])
def test_paired_interval_holds_the_true_difference_in_95_percent_of_experiments(n: int) -> None:
    # The seeds' common part is ten times as wide as what is left in the difference: pairing has to take it out.
    rng = np.random.default_rng(11)
    held = []
    for common, noise in zip(rng.normal(60, 5, size=(3000, n)), rng.normal(0, 0.5, size=(3000, 2, n)), strict=True):
        ours, baseline = common + 2.0 + noise[0], common + noise[1]
        interval = paired_difference(dict(enumerate(ours)), dict(enumerate(baseline))).summary.interval
        assert interval is not None
        held.append(interval.low <= 2.0 <= interval.high)
    assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 3000)


@pytest.mark.parametrize(("ours", "baseline"), [([2.0, 2.0, 3.0], [1.0, 1.0, 1.0]), ([5.0, 5.0, 7.0, 7.0], [5.0] * 4)])
def test_paired_difference_with_ties_is_scipys(ours: list[float], baseline: list[float]) -> None:
    found = paired_difference(dict(enumerate(ours)), dict(enumerate(baseline)))
    assert found.p_value == pytest.approx(stats.ttest_rel(ours, baseline).pvalue, rel=1e-12)
