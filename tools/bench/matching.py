"""The accuracy after matching clusters with labels, at ImageNet's size, against a double loop over pairs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.bench.case import Args, Case
from transfer.outcomes.cluster_scores import cluster_scores, matched_accuracy
from transfer.tasks.clustering.matching import contingency_table, match
from twist_common.errors import UserError


def matching_cases(args: Args) -> list[Case]:
    """From labels and clusters to the accuracy.

    The double loop counts the images of each pair of a class and a cluster, then uses the same solver: some half a
    minute at the size of ImageNet's validation images.
    """
    num_images, num_classes = 50_000 if args.images is None else args.images, args.classes
    if min(num_images, num_classes) < 1:
        raise UserError("--images and --classes must be 1 or more")
    labels, clusters = generate(num_images, num_classes, seed=0)
    num_right = {}

    def ours() -> None:
        num_right["ours"] = round(matched_accuracy(labels, clusters) * num_images)

    def looped() -> None:
        num_right["double loop"] = match(double_loop(labels, clusters, num_classes)).num_right

    def note() -> str:
        if len(set(num_right.values())) > 1:
            raise RuntimeError("the two ways to the accuracy differ")
        table, _ = seconds(lambda: contingency_table(labels, clusters, num_classes, num_classes))
        whole, scores = seconds(lambda: cluster_scores(labels, clusters))
        figures = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        return f"contingency table alone: {1000 * table:.2f} ms; cluster_scores: {whole:.2f} s ({figures})"

    what = f"accuracy after matching, {num_images} images, {num_classes} classes; the textbook's: a loop over all pairs"
    return [Case("matching", what, "s", ours, looped, target=1000, slow="textbook", note=note)]


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def generate(num_images: int, num_classes: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels, and clusters under other names that are right for about 40 % of the images."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % num_classes
    names = rng.permutation(num_classes)
    clusters = np.where(rng.random(num_images) < 0.4, names[labels], rng.integers(0, num_classes, num_images))
    return labels, clusters


def double_loop(labels: NDArray[np.int64], clusters: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """The contingency table by its definition: for each pair, a look at all images."""
    table = np.zeros((num_classes, num_classes), dtype=np.int64)
    for label in range(num_classes):
        for cluster in range(num_classes):
            table[label, cluster] = np.sum((labels == label) & (clusters == cluster))
    return table
