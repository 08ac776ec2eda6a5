"""The rows of :mod:`transfer.benchmarks` for a user's own boxes and masks."""

from __future__ import annotations

from transfer.dense_benchmarks import DETECTION, SEGMENTATION, benchmark_row
from transfer.rows import Benchmark


def _own_boxes(name: str, title: str, model: str, summary: str) -> list[Benchmark]:
    """A protocol on own data, fine-tuned and frozen."""
    config = f"detection/{name.replace('-', '_')}"
    return [
        benchmark_row(
            DETECTION, name, name, f"{config}.yaml", "box_ap", arch="resnet50", title=f"{title}, {model}",
            summary=summary,
        ),
        benchmark_row(
            DETECTION, f"{name}-frozen", name, f"{config}_frozen.yaml", "box_ap", arch="resnet50", typed=name,
            variant_of=name, option="--frozen", title=f"{title} on a frozen R50, {model}",
            summary="FPN and heads trained alone, a quarter of the iterations",
        ),
    ]  # fmt: skip


OWN = (
    *_own_boxes(
        "own-coco", "Own data in COCO's form", "Mask R-CNN R50-FPN",
        "as coco on your own data (--data DIR): classes, counts and epochs from its files; without masks boxes alone",
    ),
    *_own_boxes(
        "own-voc", "Own data in VOC's layout", "Faster R-CNN R50-FPN",
        "as voc on your own data (--data DIR): classes, counts and epochs from its files",
    ),
    benchmark_row(
        SEGMENTATION, "own-masks", "own-masks", "segmentation/own_masks.py", "miou", arch="resnet50",
        title="Own masks, FCN-FPN R50",
        summary="as voc on your own data (--data DIR): classes, counts and epochs from its files",
    ),
    benchmark_row(
        SEGMENTATION, "own-masks-frozen", "own-masks", "segmentation/own_masks_frozen.py", "miou", arch="resnet50",
        typed="own-masks", variant_of="own-masks", option="--frozen", title="Own masks on a frozen R50, linear head",
        summary="a linear head on the stages of the frozen backbone, a fifth of the iterations",
    ),
)  # fmt: skip
