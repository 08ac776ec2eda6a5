"""Permutation tests, Holm's correction and the number of trials: SciPy, cases worked out by hand, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from transfer.report.compare.power import additional_trials, smallest_detectable_difference
from transfer.report.compare.statistics import holm, paired_t_p_value, sign_flip_p_value, summarize


def scipy_sign_flip(differences: list[float]) -> float:
    found = stats.permutation_test(
        (np.asarray(differences), np.zeros(len(differences))),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    return float(found.pvalue)


@pytest.mark.parametrize("n", [3, 4, 5, 8, 11])
def test_sign_flip_test_is_scipys_exact_one(n: int) -> None:
    differences = list(np.random.default_rng(n).normal(0.5, 1.0, size=n))
    assert sign_flip_p_value(differences) == pytest.approx(scipy_sign_flip(differences), abs=1e-12)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # only all signs up or all down reach 6
        ([1.0, 2.0, -3.0], 1.0),  # the observed sum is 0
        ([1.0, 1.0, 1.0, -1.0], 10 / 16),  # ties: |sum| >= 2 for 4 + 1 patterns on each side
        ([0.0, 0.0, 1.0], 1.0),  # zeros and one value: every pattern has |sum| = 1
        ([0.0, 0.0, 0.0], 1.0),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 2 / 32),
    ],
)
def test_sign_flip_test_of_small_cases_and_ties_counted_by_hand(differences: list[float], expected: float) -> None:
    assert sign_flip_p_value(differences) == pytest.approx(expected, abs=1e-15)


def test_ties_up_to_rounding_are_ties() -> None:
    # In binary 0.1 + 0.2 is above 0.3; both patterns have the sum 0.6 in the decimals that were meant.
    assert sign_flip_p_value([0.1, 0.2, 0.3, -0.3]) == sign_flip_p_value([1.0, 2.0, 3.0, -3.0])


def test_sign_flip_test_does_not_depend_on_the_order_of_the_pairs() -> None:
    differences = [0.3, -1.2, 2.2, 0.7, 1.9, -0.1, 0.4]
    assert sign_flip_p_value(differences) == sign_flip_p_value(differences[::-1])


def test_many_pairs_are_counted_exactly_and_too_many_are_not_guessed() -> None:
    assert sign_flip_p_value([1.0] * 30) == pytest.approx(2 / 2**30, rel=1e-12)
    assert sign_flip_p_value([1.0] * 41) is None
    assert sign_flip_p_value([]) is None


def test_t_test_from_the_summary_is_scipys() -> None:
    differences = [0.4, 1.1, -0.2, 0.9, 0.6]
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert paired_t_p_value(summarize(differences)) == pytest.approx(expected, rel=1e-12)


def test_holm_of_a_case_worked_out_by_hand() -> None:
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested_and_ends_at_one() -> None:
    assert holm([None, 0.03, None]) == [None, 0.03, None]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_familywise_error_at_five_percent() -> None:
    p_values = np.random.default_rng(5).uniform(size=(4000, 6))  # six true null hypotheses
    wrong = np.mean([min(holm(list(row))) < 0.05 for row in p_values])  # type: ignore[type-var]
    assert abs(wrong - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize(("difference", "sd"), [(1.0, 1.0), (0.5, 1.0), (-0.5, 1.0), (3.0, 1.0), (0.2, 1.3)])
def test_with_the_additional_trials_the_difference_is_detectable_and_with_one_less_it_is_not(
    difference: float, sd: float
) -> None:
    more = additional_trials(difference, sd, 0)
    assert more is not None and more > 2
    enough, too_few = (smallest_detectable_difference(sd, pairs) for pairs in (more, more - 1))
    assert enough is not None and too_few is not None
    assert enough <= abs(difference) < too_few


def test_additional_trials_against_the_tables() -> None:
    # Cohen's d 0.5, two-sided 5 %, power 80 %, paired: 34 pairs; d 0.2: 199 (G*Power).
    assert additional_trials(0.5, 1.0, 5) == 34 - 5
    assert additional_trials(0.2, 1.0, 0) == 199
    assert additional_trials(5.0, 1.0, 20) == 0


def test_a_difference_that_no_affordable_number_of_trials_shows_has_no_number() -> None:
    assert additional_trials(0.001, 1.0, 5) is None


def test_interval_over_three_trials_holds_the_true_mean_in_95_percent_of_samples() -> None:
    samples = np.random.default_rng(7).normal(60.0, 1.5, size=(3000, 3))
    intervals = [summarize(list(sample)).interval for sample in samples]
    covered = np.mean([each is not None and each.low <= 60.0 <= each.high for each in intervals])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 3000)
