"""Which benchmarks a suite runs."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.benchmarks import GROUPS


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Benchmarks that are run together, with the same seeds for all weights.

    Attributes:
        name: also the folder of its records.
        benchmarks: names from ``transfer.benchmarks``; run in this order.
    """

    name: str
    benchmarks: tuple[str, ...]
    num_trials: int


DEMO = Suite(
    name="demo",
    # the long ones first, so that both cores are busy until the end
    benchmarks=(
        "demo-coco",
        "demo-voc",
        "demo-voc-frozen",
        "demo-seg",
        "demo-seg-frozen",
        "demo-heads",
        "demo-100pct",
        "demo-10pct",
        "demo-1pct",
        "demo-linear",
        "demo-cluster",
    ),
    num_trials=5,
)

PAPER = Suite(
    name="paper",
    benchmarks=(
        "voc",  # Table 5
        "coco",
        "seg-voc",  # Table 6
        "seg-cityscapes",
        "imagenet-1pct",  # Table 1
        "imagenet-10pct",
        "imagenet-100pct",
        "imagenet-cluster",  # Table 2
        "imagenet-linear",  # Table 3
        *GROUPS["linear11"],  # Table 4
        *GROUPS["finetune11"],
    ),
    num_trials=5,
)

SUITES = {suite.name: suite for suite in (DEMO, PAPER)}
