"""The rows of :mod:`transfer.benchmarks` for a user's own boxes and masks."""

from __future__ import annotations

from transfer.dense_benchmarks import DETECTION, SEGMENTATION, benchmark_row
from transfer.rows import Benchmark

OWN_DATA = "on your own data (--data DIR): classes, counts and epochs from its files"
ON_ANY = "own data, any architecture, AdamW and layer-wise decay; our settings"


def _own(name: str, public: str, title: str, model: str, summary: str) -> list[Benchmark]:
    """A public data set's protocol on own data, fine-tuned and frozen; ``-any`` in its name is for any network."""
    task, suffix = (SEGMENTATION, "py") if public.startswith("seg-") else (DETECTION, "yaml")
    config = f"{task.rpartition('.')[2]}/{name.replace('-', '_')}"
    metric, head = ("miou", "a linear head") if task == SEGMENTATION else ("box_ap", "pyramid and heads")
    arch = None if name.endswith("-any") else "resnet50"
    dataset = name.removesuffix("-any")
    return [
        benchmark_row(
            task, name, dataset, f"{config}.{suffix}", metric, arch=arch, counted_as=public, title=f"{title}, {model}",
            summary=summary,
        ),
        benchmark_row(
            task, f"{name}-frozen", dataset, f"{config}_frozen.{suffix}", metric, arch=arch, typed=name,
            counted_as=f"{public}-frozen", variant_of=name, option="--frozen",
            title=f"{title} on a frozen backbone, {model}",
            summary=f"{head} trained alone, a {'fifth' if task == SEGMENTATION else 'quarter'} of the iterations",
        ),
    ]  # fmt: skip


COCO, VOC, MASKS = "Own data in COCO's form", "Own data in VOC's layout", "Own masks"
OWN = (
    *_own("own-coco", "coco", COCO, "Mask R-CNN R50-FPN", f"as coco {OWN_DATA}; without masks boxes alone"),
    *_own("own-coco-any", "coco-any", COCO, "Mask R-CNN on any network", f"as coco-any: {ON_ANY}"),
    *_own("own-voc", "voc", VOC, "Faster R-CNN R50-FPN", f"as voc {OWN_DATA}"),
    *_own("own-voc-any", "voc-any", VOC, "Faster R-CNN on any network", f"as voc-any: {ON_ANY}"),
    *_own("own-masks", "seg-voc", MASKS, "FCN-FPN R50", f"as voc {OWN_DATA}"),
    *_own("own-masks-any", "seg-voc-any", MASKS, "FCN on any network", f"as voc-any: {ON_ANY}"),
)
