"""Intervals that hold test images besides seeds: both are samples, crossed with each other, since every trial is tested
on the same images.

What the seeds say of a mean over S trials is their variance over S. What the images say is the covariance that trials
have because they share their images, found by a bootstrap over the images, the same draw for every trial. Both together
are the variance of the mean over new seeds and new images (Obuchowski and Rockette, Commun. Stat. Simul. 24, 1995, with
readers for seeds and cases for images), with the degrees of freedom of Hillis (Stat. Med. 26, 2007). The interval is
never shorter than that of the seeds alone. Drawing seeds too, of which there are few, would give too short intervals.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.kind import Outcomes
from transfer.record import TrialRecord
from transfer.report.compare.statistics import CONFIDENCE, MIN_TRIALS, ImagesInterval, Interval, summarize, t_quantile
from twist_common.files import sha256_bytes

NUM_DRAWS = 200  # of the images: a standard error is known to 5 %
DRAWS_AT_A_TIME = 50
SEED = 0
Draws = NDArray[np.float64]
ReadOutcomes = Callable[[TrialRecord], Outcomes | None]


@dataclass(frozen=True)
class Resampled:
    """One trial's figure over other draws of the test images.

    Attributes:
        images: what identifies the images; figures of the same ones can be paired.
        draws: (:data:`NUM_DRAWS`,) in percent.
    """

    images: str
    num_images: int
    draws: Draws


def resample(outcomes: Outcomes, metric: str) -> Resampled | None:
    """The trial's metric over other draws of its images; None if outcomes of this kind do not give it."""
    if metric not in outcomes.resamplable:
        return None
    num_images = outcomes.num_images
    counts = _counts(num_images)
    parts = [
        outcomes.resampled(metric, counts[start : start + DRAWS_AT_A_TIME].astype(np.float64))
        for start in range(0, NUM_DRAWS, DRAWS_AT_A_TIME)
    ]
    return Resampled(f"{num_images} {sha256_bytes(outcomes.truth())}", num_images, np.concatenate(parts))


@functools.lru_cache(maxsize=2)
def _counts(num_images: int) -> NDArray[np.uint8]:
    """How often each image is in each draw: the same for all trials."""
    rng = np.random.default_rng(SEED)
    draws = (rng.integers(0, num_images, num_images) for _ in range(NUM_DRAWS))
    return np.stack([np.bincount(draw, minlength=num_images).astype(np.uint8) for draw in draws])


def interval_of(values: Mapping[int, float], resampled: Mapping[int, Resampled]) -> ImagesInterval | None:
    """The interval of a row's mean.

    Args:
        values, resampled: by seed; a row on which the seed has no influence counts once, with its first trial alone.
    """
    used = [resampled.get(seed) for seed in values]
    known = [each for each in used if each is not None]
    if not values or len(known) < len(used) or len({each.images for each in known}) > 1:
        return None
    return images_interval([*values.values()], [each.draws for each in known], known[0].num_images)


def interval_of_difference(
    values: Mapping[int, float],
    others: Mapping[int, float],
    resampled: Mapping[int, Resampled],
    resampled_others: Mapping[int, Resampled],
) -> ImagesInterval | None:
    """The interval of the mean of paired differences: the same images are drawn on both sides.

    Args:
        values, others: by seed, of both sides.
        resampled, resampled_others: by seed, of both sides.
    """
    differences = {}
    for seed in values.keys() & others.keys() & resampled.keys() & resampled_others.keys():
        ours, theirs = resampled[seed], resampled_others[seed]
        if ours.images == theirs.images:
            differences[seed] = Resampled(ours.images, ours.num_images, ours.draws - theirs.draws)
    return interval_of(
        {seed: values[seed] - others[seed] for seed in sorted(values.keys() & others.keys())}, differences
    )


def images_interval(values: Sequence[float], draws: Sequence[Draws], num_images: int) -> ImagesInterval | None:
    """Of the mean of one figure for each seed; of a single one, over the images alone.

    Args:
        values: in percent, or differences in percentage points.
        draws: of each value, over the same draws of the images.

    Returns:
        None below three values but for a single one, and where some draws have no figure.
    """
    figures, count = np.stack(draws), len(values)
    if 1 < count < MIN_TRIALS or not np.isfinite(figures).all():
        return None
    covariance = np.atleast_2d(np.cov(figures))
    mean = float(np.mean(values))
    of_seeds = summarize(values)
    if count < MIN_TRIALS or not of_seeds.sd or not of_seeds.interval:
        seeds, images, degrees = 0.0, float(covariance[0, 0]), None
        half = t_quantile((1 + CONFIDENCE) / 2, math.inf) * math.sqrt(images)
    else:
        seeds = of_seeds.sd**2 / count
        shared = float(covariance.sum() - np.trace(covariance)) / (count * (count - 1))
        images = max(0.0, shared)
        degrees = (seeds + images) ** 2 / (seeds**2 / (count - 1))
        both = t_quantile((1 + CONFIDENCE) / 2, degrees) * math.sqrt(seeds + images)
        half = max(both, of_seeds.interval.high - mean)  # by more degrees of freedom, both may be the shorter one
    return ImagesInterval(Interval(mean - half, mean + half), num_images, seeds**0.5, images**0.5, degrees)
