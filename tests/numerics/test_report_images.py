"""Intervals over seeds and test images: their coverage, their parts written out, and SciPy where it has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from tests.report_records import done
from transfer.outcomes.clusters import Clusters
from transfer.outcomes.labels import Hits
from transfer.outcomes.objects import Detections, Matches
from transfer.outcomes.pixels import Confusion
from transfer.report.compare.images import (
    NUM_DRAWS,
    Resampled,
    images_interval,
    interval_of,
    interval_of_difference,
    resample,
)
from transfer.report.compare.results import build_report
from transfer.report.compare.statistics import (
    Interval,
    equivalence_p_value,
    images_p_value,
    paired_difference,
    summarize,
)

NUM_IMAGES, NUM_SEEDS, NUM_EXPERIMENTS = 150, 5, 800


def trials(rng: np.random.Generator, *, skill: float = 0.0, seeds_sd: float, images: NDArray[np.float64]) -> list[Hits]:
    """An image is right if its ease, the weights' skill, the seed's luck and chance are above 0 together."""
    luck = rng.normal(0, seeds_sd, NUM_SEEDS)[:, None]
    right = skill + images + luck + rng.normal(0, 1, (NUM_SEEDS, len(images))) > 0
    return [Hits(np.zeros(len(images), dtype=int), {"top1": each}) for each in right]


def expected(skill: float, seeds_sd: float) -> float:
    """The figure over all seeds and images, in percent; the ease of an image has a deviation of 1."""
    return 100 * float(scipy.stats.norm.cdf(skill / math.sqrt(2 + seeds_sd**2)))


def by_seed(found: list[Hits]) -> tuple[dict[int, float], dict[int, Resampled]]:
    resampled = {seed: each for seed, hits in enumerate(found) if (each := resample(hits, "top1"))}
    return {seed: hits.metrics()["top1"] for seed, hits in enumerate(found)}, resampled


def holds(interval: Interval | None, value: float) -> bool:
    assert interval is not None
    return interval.low <= value <= interval.high


def test_coverage_at_five_seeds() -> None:
    """Of a mean and of a paired difference; the interval over the seeds alone holds far too seldom for new images."""
    rng, seeds_sd = np.random.default_rng(7), 0.1
    covered = np.zeros(3)
    for _ in range(NUM_EXPERIMENTS):
        images = rng.normal(0, 1, NUM_IMAGES)
        ours = by_seed(trials(rng, skill=0.8, seeds_sd=seeds_sd, images=images))
        theirs = by_seed(trials(rng, skill=0.5, seeds_sd=seeds_sd, images=images))
        mean = interval_of(*ours)
        difference = interval_of_difference(ours[0], theirs[0], ours[1], theirs[1])
        assert mean and difference
        covered[0] += holds(mean.interval, expected(0.8, seeds_sd))
        covered[1] += holds(difference.interval, expected(0.8, seeds_sd) - expected(0.5, seeds_sd))
        covered[2] += holds(summarize([*ours[0].values()]).interval, expected(0.8, seeds_sd))
    mean_share, difference_share, seeds_share = covered / NUM_EXPERIMENTS
    assert 0.93 <= mean_share <= 0.97 and 0.93 <= difference_share <= 0.97
    assert seeds_share < 0.9


def test_coverage_of_one_deterministic_figure() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(NUM_EXPERIMENTS):
        values, resampled = by_seed(trials(rng, skill=0.8, seeds_sd=0, images=rng.normal(0, 1, NUM_IMAGES))[:1])
        interval = interval_of(values, resampled)
        assert interval and interval.degrees is None and interval.se_seeds == 0
        covered += holds(interval.interval, expected(0.8, 0))
    assert 0.93 <= covered / NUM_EXPERIMENTS <= 0.97


def test_coverage_of_normalised_mutual_information() -> None:
    """Of 30 labels with 20 images each, where NMI of drawn images would cover 91 %."""
    rng = np.random.default_rng(9)
    shares = rng.dirichlet(np.full(30, 0.3), 30) / 2 + np.eye(30) / 2
    intervals, values = [], []
    for _ in range(NUM_EXPERIMENTS):
        labels, clusters = np.divmod(rng.choice(900, 600, p=shares.ravel() / 30), 30)
        outcomes = Clusters(labels, clusters, np.ones(600, dtype=bool))
        values.append(float(outcomes.resampled("nmi", np.ones((1, 600)))[0]))
        resampled = resample(outcomes, "nmi")
        interval = interval_of({0: values[-1]}, {0: resampled}) if resampled else None
        assert interval
        intervals.append(interval.interval)
    covered = sum(holds(each, float(np.mean(values))) for each in intervals)
    assert 0.93 <= covered / NUM_EXPERIMENTS <= 0.97


def test_the_images_of_one_trial_are_scipys_bootstrap_and_the_binomials() -> None:
    (hits,) = trials(np.random.default_rng(1), seeds_sd=0, images=np.zeros(2000))[:1]
    interval = interval_of(*by_seed([hits]))
    assert interval
    right = hits.hits["top1"]
    theirs = scipy.stats.bootstrap((right,), np.mean, n_resamples=2000, method="percentile", rng=0)
    share = right.mean()
    assert interval.se_images == pytest.approx(100 * math.sqrt(share * (1 - share) / 2000), rel=0.12)
    assert interval.se_images == pytest.approx(100 * theirs.standard_error, rel=0.12)
    assert interval.interval.high == pytest.approx(100 * theirs.confidence_interval.high, abs=0.3)


def test_without_influence_of_the_images_it_is_students_interval() -> None:
    """Trials whose draws have nothing in common."""
    rng = np.random.default_rng(2)
    values = [*rng.normal(50, 1, 5)]
    draws = [*np.linalg.qr(rng.normal(0, 1, (NUM_DRAWS, 6)) * [1e9, *[1] * 5])[0].T[1:]]
    draws = [each - each.mean() for each in draws]
    interval = images_interval(values, draws, 100)
    assert interval
    low, high = scipy.stats.t.interval(0.95, 4, np.mean(values), scipy.stats.sem(values))
    assert (interval.interval.low, interval.interval.high) == pytest.approx((low, high), rel=1e-3)


def test_the_parts_are_what_is_written_out() -> None:
    rng = np.random.default_rng(3)
    values = [*rng.normal(50, 1, 4)]
    draws = [*(rng.normal(0, 0.5, NUM_DRAWS) + rng.normal(0, 0.7, (4, NUM_DRAWS)))]
    interval = images_interval(values, draws, 100)
    assert interval and interval.degrees
    pairs = [np.cov(draws[one], draws[other])[0, 1] for one in range(4) for other in range(one)]
    shared, seeds = np.mean(pairs), np.var(values, ddof=1) / 4
    assert interval.se_images**2 == pytest.approx(shared)
    assert interval.se_seeds**2 == pytest.approx(seeds)
    assert interval.degrees == pytest.approx((seeds + shared) ** 2 / (seeds**2 / 3))
    both = scipy.stats.t.ppf(0.975, interval.degrees) * math.sqrt(seeds + shared)
    alone = scipy.stats.t.ppf(0.975, 3) * math.sqrt(seeds)
    assert interval.interval.high - np.mean(values) == pytest.approx(max(both, alone))


def test_paired_images_cancel() -> None:
    """Trials that are right and wrong on the same images differ by nothing, whatever the images."""
    values, resampled = by_seed(trials(np.random.default_rng(4), seeds_sd=0.2, images=np.zeros(200)))
    interval = interval_of_difference(values, values, resampled, resampled)
    assert interval and (interval.interval.low, interval.interval.high) == (0, 0)
    others = {seed: Resampled("other images", 200, each.draws) for seed, each in resampled.items()}
    assert interval_of_difference(values, values, resampled, others) is None


def test_draws_of_pixels_and_objects_are_figures_of_the_drawn_images() -> None:
    """Against the same images repeated: IoU over summed pixels, average precision over all detections of the draw."""
    rng = np.random.default_rng(5)
    drawn = rng.integers(0, 30, 30)
    weights = np.bincount(drawn, minlength=30)[None].astype(float)
    labelled = rng.integers(0, 3, (30, 6)) * rng.integers(1, 100, (30, 6))
    right, extra = rng.integers(0, labelled + 1), rng.integers(0, 50, (30, 6))
    found = Confusion.of_areas(right, right + extra, labelled).resampled("miou", weights)[0]
    sums = [each[drawn].sum(axis=0) for each in (right, extra, labelled)]
    assert found == pytest.approx(100 * np.mean(sums[0] / (sums[1] + sums[2])))

    objects = rng.integers(1, 4, (30, 1))
    images, hits = rng.integers(0, 30, 80), rng.random(80) < np.linspace(0.9, 0.1, 80)
    matched = np.repeat(hits[None], 10, axis=0), np.zeros((10, 80), dtype=bool)
    matches = Matches("voc2012", objects, [Detections(images, {"box": matched})])
    copies = np.repeat(np.arange(80), weights[0, images].astype(int))
    true = np.cumsum(hits[copies])
    precision, recall = true / np.arange(1, len(copies) + 1), true / objects[drawn].sum()
    # Between the copies of one detection precision rises: it counts after the last of them.
    last = np.append(np.diff(copies) > 0, True)
    precision, recall = precision[last], np.append(0, recall[last])
    area = sum(precision[place:].max() * (recall[place + 1] - recall[place]) for place in range(len(precision)))
    assert matches.resampled("box_ap50", weights)[0] == pytest.approx(100 * area)


def test_with_images_an_interval_is_never_shorter_than_of_the_seeds_alone() -> None:
    rng = np.random.default_rng(5)
    for images_sd in (0.0, 0.1, 0.3, 1.0):
        values = [*rng.normal(50, 1, 5)]
        shared = rng.normal(0, images_sd, NUM_DRAWS)
        interval = images_interval(values, [shared + rng.normal(0, 0.01, NUM_DRAWS) for _ in range(5)], 100)
        low, high = scipy.stats.t.interval(0.95, 4, np.mean(values), scipy.stats.sem(values))
        assert interval and interval.interval.low <= low + 1e-9 and interval.interval.high >= high - 1e-9


def test_false_bold_is_at_most_five_percent_over_images_too() -> None:
    """Two weights as good as each other on all images there are: the images drawn favour one, in every seed."""
    rng = np.random.default_rng(12)
    claimed, by_seeds, num_experiments = 0, 0, 400
    for experiment in range(num_experiments):
        images = rng.normal(0, 0.6, NUM_IMAGES) + rng.normal(0, 0.8, (2, NUM_IMAGES))
        both = [trials(rng, skill=0.5, seeds_sd=0.05, images=each) for each in images]
        (ours, our_draws), (theirs, their_draws) = map(by_seed, both)
        pairs = paired_difference(ours, theirs)
        found = interval_of_difference(ours, theirs, our_draws, their_draws)
        p_images = images_p_value(pairs.summary, found) if found else None
        assert p_images is not None and pairs.p_value is not None
        is_claimed = max(p_images, pairs.p_value) < 0.05
        claimed, by_seeds = claimed + is_claimed, by_seeds + (pairs.p_value < 0.05)
        if experiment < 15 or (is_claimed and claimed < 5):  # the report's own answers are these
            records = [
                done(hits.metrics(), seed=seed, weights=name, benchmark="demo-linear")
                for name, found_hits in zip("ab", both, strict=True)
                for seed, hits in enumerate(found_hits)
            ]
            outcomes = {id(record): hits for record, hits in zip(records, both[0] + both[1], strict=True)}
            (result,) = build_report(records, outcomes=lambda record, known=outcomes: known[id(record)]).benchmarks
            assert (result.best is not None) == is_claimed
            (difference,) = (row.differences["top1"] for row in result.rows if row.differences)
            assert (difference.verdict != "undecided") == is_claimed
            assert difference.simultaneous is not None
            assert holds(difference.simultaneous, 0.0) != is_claimed
    assert claimed / num_experiments <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / num_experiments)
    assert by_seeds / num_experiments > 0.12


def test_with_a_margin_equivalence_holds_for_new_images() -> None:
    values = {seed: 0.1 * seed - 0.2 for seed in range(5)}
    draws = [np.random.default_rng(0).normal(0, 2, 200)] * 5
    found = images_interval([*values.values()], draws, 100)
    assert found and found.degrees
    summary = summarize([*values.values()])
    assert equivalence_p_value(summary, 1.0) < 0.001  # over the seeds alone
    expected_p = scipy.stats.t.sf((1.0 - abs(summary.mean or 0.0)) / found.se, found.degrees)
    assert equivalence_p_value(summary, 1.0, found) == pytest.approx(expected_p) and expected_p > 0.2
