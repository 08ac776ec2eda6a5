"""``python -m tools.bench.matching``: matching and scores at ImageNet's size, against a double loop over pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import cli
from common.errors import UserError
from transfer.tasks.clustering.matching import contingency_table, match
from transfer.tasks.clustering.scoring import cluster_scores, matched_accuracy

TARGET = 1000.0  # times the double loop


@dataclass(frozen=True)
class Args:
    """Measures the accuracy after matching, from labels and clusters to the figure, and all of cluster_scores.

    The double loop counts the images of each pair of a class and a cluster, then uses the same solver. It runs once:
    some half a minute at the size of ImageNet's validation images.
    """

    images: int = 50_000
    """how many images"""
    classes: int = 1000
    """how many classes, and as many clusters"""
    repeats: int = 5
    """measurements of ours; the median counts"""


def main(args: Args) -> int:
    if min(args.images, args.classes, args.repeats) < 1:
        raise UserError("--images, --classes and --repeats must be 1 or more")
    labels, clusters = generate(args.images, args.classes, seed=0)
    matched_accuracy(labels, clusters)  # pays for imports
    ours = statistics.median(_seconds(lambda: matched_accuracy(labels, clusters))[0] for _ in range(args.repeats))
    loop, looped = _seconds(lambda: match(double_loop(labels, clusters, args.classes)).num_right)
    if looped != round(matched_accuracy(labels, clusters) * args.images):
        raise RuntimeError("the two ways to the accuracy differ")
    ratio = loop / ours
    print(
        f"matching: {ratio:.0f} times a double loop over {args.classes} × {args.classes} pairs "
        f"(ours {1000 * ours:.1f} ms, double loop {loop:.1f} s, {args.images} images); "
        f"target {TARGET:g}: {'reached' if ratio >= TARGET else 'MISSED'}"
    )
    table = statistics.median(
        _seconds(lambda: contingency_table(labels, clusters, args.classes, args.classes))[0]
        for _ in range(args.repeats)
    )
    print(f"contingency table alone: {1000 * table:.2f} ms")
    seconds, scores = _seconds(lambda: cluster_scores(labels, clusters))
    figures = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
    print(f"cluster_scores: {seconds:.2f} s ({figures})")
    return cli.EXIT_DONE


def generate(num_images: int, num_classes: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels, and clusters of which 40 % of the images are right, under other names."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % num_classes
    names = rng.permutation(num_classes)
    clusters = np.where(rng.random(num_images) < 0.4, names[labels], rng.integers(0, num_classes, num_images))
    return labels, clusters


def double_loop(labels: NDArray[np.int64], clusters: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """The contingency table as the definition says it, each pair with a look at all images."""
    table = np.zeros((num_classes, num_classes), dtype=np.int64)
    for label in range(num_classes):
        for cluster in range(num_classes):
            table[label, cluster] = np.sum((labels == label) & (clusters == cluster))
    return table


def _seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    cli.run(Args, main, prog="python -m tools.bench.matching")
