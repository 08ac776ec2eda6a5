"""Several pre-training runs of a method: variance components, and intervals for new runs, seeds and images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from transfer.report.compare.images import images_interval
from transfer.report.compare.method_differences import difference_over_runs
from transfer.report.compare.runs import components

NUM_RUNS, NUM_SEEDS, NUM_IMAGES, NUM_EXPERIMENTS, NUM_DRAWS = 5, 3, 150, 1500, 100


def values(rng: np.random.Generator, runs_sd: float = 1.0, seeds_sd: float = 0.5) -> np.ndarray:
    return 60 + rng.normal(0, runs_sd, NUM_RUNS)[:, None] + rng.normal(0, seeds_sd, (NUM_RUNS, NUM_SEEDS))


def test_components_are_those_of_scipys_analysis_of_variance() -> None:
    layout = values(np.random.default_rng(0))
    found = components(layout.tolist())
    assert found.between_runs and found.between_seeds
    within = np.mean([np.var(run, ddof=1) for run in layout])
    assert found.between_seeds**2 == pytest.approx(within)
    between = scipy.stats.f_oneway(*layout).statistic * within
    assert found.between_runs**2 == pytest.approx((between - within) / NUM_SEEDS)


def test_components_are_those_of_restricted_maximum_likelihood() -> None:
    """The likelihood written out, and maximised by SciPy: what a mixed model of a balanced layout gives."""
    layout = values(np.random.default_rng(1))

    def loss(logs: np.ndarray) -> float:
        runs, seeds = np.exp(logs)
        covariance = np.kron(np.eye(NUM_RUNS), np.full((NUM_SEEDS, NUM_SEEDS), runs)) + seeds * np.eye(layout.size)
        inverse = np.linalg.inv(covariance)
        weight = inverse.sum()
        rest = layout.ravel() - (inverse @ layout.ravel()).sum() / weight
        return float(np.linalg.slogdet(covariance)[1] + math.log(weight) + rest @ inverse @ rest)

    best = scipy.optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12})
    found = components(layout.tolist())
    assert [found.between_runs, found.between_seeds] == pytest.approx(np.sqrt(np.exp(best.x)), rel=1e-4)


def test_components_without_bias_and_with_unequal_numbers_of_seeds() -> None:
    rng = np.random.default_rng(2)
    layouts = [values(rng) for _ in range(2000)]
    uneven = [[run[: 1 + place % NUM_SEEDS].tolist() for place, run in enumerate(layout)] for layout in layouts]
    for every in (layouts, uneven):
        found = [components([list(run) for run in layout]) for layout in every]
        assert np.mean([each.between_seeds**2 for each in found if each.between_seeds]) == pytest.approx(0.25, rel=0.05)
        assert np.mean([(each.between_runs or 0) ** 2 for each in found]) == pytest.approx(1.0, rel=0.05)


def test_one_run_or_one_seed_has_no_component_of_its_own() -> None:
    assert components([[1.0, 2.0, 3.0]]).between_runs is None
    assert components([[1.0], [2.0], [4.0]]).between_seeds is None
    assert components([[1.0, 1.0], [1.0, 1.0]]) == components([[2.0, 2.0], [2.0, 2.0]])
    assert components([[0.0, 2.0], [0.0, 2.0]]).between_runs == 0  # an estimate below 0


def test_coverage_at_five_runs() -> None:
    """The mean for new runs, seeds and images; trials of one checkpoint alone, however many, hold far too seldom."""
    rng = np.random.default_rng(3)
    counts = rng.multinomial(NUM_IMAGES, np.full(NUM_IMAGES, 1 / NUM_IMAGES), NUM_DRAWS).astype(float)
    skill, runs_sd, seeds_sd = 0.8, 0.15, 0.08
    truth = 100 * scipy.stats.norm.cdf(skill / math.sqrt(2 + runs_sd**2 + seeds_sd**2))
    covered = np.zeros(2)
    for _ in range(NUM_EXPERIMENTS):
        luck = rng.normal(0, runs_sd, (NUM_RUNS, 1)) + rng.normal(0, seeds_sd, (NUM_RUNS, NUM_SEEDS))
        ease = rng.normal(0, 1, NUM_IMAGES) + rng.normal(0, 1, (NUM_RUNS, NUM_SEEDS, NUM_IMAGES))
        right = 100.0 * (skill + luck[..., None] + ease > 0)
        draws = right @ counts.T / NUM_IMAGES
        over_runs = images_interval([*right.mean(axis=(1, 2))], [*draws.mean(axis=1)], NUM_IMAGES)
        of_one = images_interval([*right[0].mean(axis=1)], [*draws[0]], NUM_IMAGES)
        for place, interval in enumerate((over_runs, of_one)):
            assert interval
            covered[place] += interval.interval.low <= truth <= interval.interval.high
    assert 0.93 <= covered[0] / NUM_EXPERIMENTS <= 0.97
    assert covered[1] / NUM_EXPERIMENTS < 0.92


def test_a_difference_of_methods_is_welchs_test_where_images_are_not_known() -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.normal(60, 1, 5), rng.normal(59, 3, 4)
    found = difference_over_runs([*ours], [*theirs])
    expected = scipy.stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = expected.confidence_interval()
    assert found and found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert found.se_images is None
    assert difference_over_runs([60.0, 61.0], [*theirs]) is None  # two runs say nothing of a third


def test_coverage_and_false_verdicts_of_a_difference_of_methods_at_five_runs() -> None:
    """For new runs, seeds and images, all tested on the same images; one checkpoint of each holds far too seldom."""
    rng = np.random.default_rng(5)
    counts = rng.multinomial(NUM_IMAGES, np.full(NUM_IMAGES, 1 / NUM_IMAGES), NUM_DRAWS).astype(float)
    covered, false, of_checkpoints = 0, 0, 0
    num_experiments = NUM_EXPERIMENTS // 2
    for _ in range(num_experiments):
        shape = (2, NUM_RUNS, NUM_SEEDS)
        luck = rng.normal(0, 0.15, (2, NUM_RUNS, 1)) + rng.normal(0, 0.08, shape)
        # What is easy for one method need not be for the other, whatever the run.
        ease = rng.normal(0, 1, NUM_IMAGES) + rng.normal(0, 0.5, (2, 1, 1, NUM_IMAGES))
        right = 100.0 * (0.8 + luck[..., None] + ease + rng.normal(0, 1, (*shape, NUM_IMAGES)) > 0)
        means, draws = right.mean(axis=(2, 3)), (right.mean(axis=2) @ counts.T) / NUM_IMAGES
        found = difference_over_runs([*means[0]], [*means[1]], [*draws[0]], [*draws[1]])
        assert found
        covered += found.interval.low <= 0 <= found.interval.high
        false += found.p_value < 0.05
        seeds = difference_over_runs(*right[:, 0].mean(axis=2).tolist())
        of_checkpoints += seeds is None or seeds.p_value >= 0.05
    assert 0.93 <= covered / num_experiments <= 0.97
    assert false + covered == num_experiments
    assert of_checkpoints / num_experiments < 0.85
