"""The rows of :mod:`transfer.benchmarks` for detection and segmentation."""

from __future__ import annotations

from typing import Any

from transfer import canaries
from transfer.datasets import DATASETS
from transfer.rows import Benchmark

DETECTION = "transfer.tasks.detection"
SEGMENTATION = "transfer.tasks.segmentation"


def benchmark_row(task: str, name: str, dataset: str, config: str, metric: str, **fields: Any) -> Benchmark:
    """A row by the name of its data set; of protocol version 1 unless ``fields`` says otherwise."""
    fields = {"protocol_version": 1, **fields}
    return Benchmark(name=name, task=task, dataset=DATASETS[dataset], config=config, main_metric=metric, **fields)


def _detection(name: str, dataset: str, config: str, metric: str = "box_ap", **fields: Any) -> Benchmark:
    return benchmark_row(DETECTION, name, dataset, f"detection/{config}.yaml", metric, **{"arch": "resnet50", **fields})


def _segmentation(name: str, dataset: str, config: str, **fields: Any) -> Benchmark:
    return benchmark_row(
        SEGMENTATION, name, dataset, f"segmentation/{config}.py", "miou", **{"arch": "resnet50", **fields}
    )


def _segmentation_of_any(base: str, dataset: str, title: str, canary: tuple[float, str], low: float) -> list[Benchmark]:
    """A paper's protocol with any architecture, fine-tuned and frozen; the canary's band, as its functions take it."""
    name, typed = f"seg-{base}-any", f"{base}-any"
    short_warmup = ("param_scheduler.0.begin=40", "param_scheduler.1.end=40")
    return [
        _segmentation(
            name, dataset, f"{base}_any", typed=typed, arch=None, title=f"{title} segmentation, FCN on any network",
            canary=canaries.short_segmentation(*canary, *short_warmup, low=low),
            summary=f"as {base} with any architecture, AdamW and layer-wise decay; our settings",
        ),
        _segmentation(
            f"{name}-frozen", dataset, f"{base}_any_frozen", typed=typed, arch=None, variant_of=name, option="--frozen",
            canary=canaries.short_segmentation(*canary, low=low),
            title=f"{title} segmentation on any frozen network, linear head",
            summary="a linear head on the maps of the frozen backbone, in minutes",
        ),
    ]  # fmt: skip


def _linear_probes(base: str, dataset: str, title: str, weakest: float, low: float) -> list[Benchmark]:
    """DINOv2's linear probe on any frozen architecture: on the last map, and on the last four."""
    canary = canaries.short_segmentation(weakest, canaries.TABLE_10, "param_scheduler.1.end=40", low=low)
    last, four = "batch norm and 1x1 convolution on the last map, 40k iterations at batch 16", "on the last four maps"
    return [
        _segmentation(
            f"seg-{base}-linear{suffix}", dataset, f"{base}_linear{suffix}", typed=f"{base}-linear{suffix}", arch=None,
            target="mmseg-last", canary=canary, title=f"{title} segmentation, DINOv2's linear probe{what}",
            summary=summary,
        )
        for suffix, what, summary in (("", "", last), ("4", f" {four}", f"as {base}-linear {four}"))
    ]  # fmt: skip


def _depth_probes() -> list[Benchmark]:
    """DINOv2's linear probe of depth: on the last map, and on four. Where a short trial ends is not measured."""
    last = "1x1 convolution on the last map with the class token, 256 depths, 38.4k iterations at batch 16"
    return [
        benchmark_row(
            SEGMENTATION, f"nyu-depth-linear{suffix}", "nyu-depth", f"segmentation/nyu_depth_linear{suffix}.py",
            "rmse_cm", title=f"NYUv2 monocular depth, DINOv2's linear probe{what}", summary=summary,
        )
        for suffix, what, summary in (
            ("", "", last), ("4", " on four maps", "as nyu-depth-linear on the maps after each quarter of the blocks"),
        )
    ]  # fmt: skip


DENSE = (
    _detection(
        "voc", "voc", "voc", suite="paper", canary=canaries.VOC,
        title="VOC07+12 detection, Faster R-CNN R50-FPN",
        summary="Faster R-CNN R50-FPN, VOC07+12 trainval -> VOC07 test, 24k iterations at batch 16, SyncBN",
    ),
    _detection(
        "coco", "coco", "coco", suite="paper", canary=canaries.COCO,
        title="COCO detection and instance segmentation, Mask R-CNN R50-FPN",
        summary="Mask R-CNN R50-FPN, train2017 -> val2017, 90k iterations at batch 16, SyncBN",
    ),
    _detection(
        "voc-c4", "voc", "voc_c4", canary=canaries.VOC,
        title="VOC07+12 detection, Faster R-CNN R50-C4",
        summary="as voc with MoCo's R50-C4, a batch norm after res5; not comparable with voc",
    ),
    _detection(
        "coco-c4", "coco", "coco_c4", canary=canaries.COCO,
        title="COCO detection and instance segmentation, Mask R-CNN R50-C4",
        summary="as coco with MoCo's R50-C4, 1x; not comparable with coco",
    ),
    _detection(
        "voc-any", "voc", "voc_any", arch=None,
        title="VOC07+12 detection, Faster R-CNN on any network",
        summary="as voc with the checkpoint's network, FPN or ViTDet's simple pyramid, AdamW; our settings",
    ),
    _detection(
        "coco-any", "coco", "coco_any", arch=None,
        title="COCO detection and instance segmentation, Mask R-CNN on any network",
        summary="as coco with the checkpoint's network, FPN or ViTDet's simple pyramid, AdamW; our settings",
    ),
    _detection(
        "voc-any-frozen", "voc", "voc_any_frozen", arch=None, typed="voc-any", variant_of="voc-any", option="--frozen",
        title="VOC07+12 detection on any frozen network, Faster R-CNN",
        summary="pyramid and heads trained alone, a quarter of the iterations",
    ),
    _detection(
        "coco-any-frozen", "coco", "coco_any_frozen", arch=None, typed="coco-any", variant_of="coco-any",
        option="--frozen", title="COCO detection and instance segmentation on any frozen network, Mask R-CNN",
        summary="pyramid and heads trained alone, a quarter of the iterations",
    ),
    _detection(
        "voc-frozen", "voc", "voc_frozen", canary=canaries.VOC, typed="voc", variant_of="voc", option="--frozen",
        title="VOC07+12 detection on a frozen R50, Faster R-CNN FPN",
        summary="FPN and heads trained alone, a quarter of the iterations",
    ),
    _detection(
        "coco-frozen", "coco", "coco_frozen", canary=canaries.COCO, typed="coco", variant_of="coco", option="--frozen",
        title="COCO detection and instance segmentation on a frozen R50, Mask R-CNN FPN",
        summary="FPN and heads trained alone, a quarter of the iterations",
    ),
    _segmentation(
        "seg-voc", "seg-voc", "voc", typed="voc", suite="paper",
        canary=canaries.below(67.5, "table 6, MoCo v2,", "train_cfg.max_iters=1000"),
        title="VOC12 segmentation, FCN-FPN R50",
        summary="FCN-FPN R50, VOC12 train + SBD (10,582 images) -> val (1,449), crop 512, 20k iterations at batch 16",
    ),
    _segmentation(
        "seg-cityscapes", "cityscapes", "cityscapes", protocol_version=2, typed="cityscapes", suite="paper",
        canary=canaries.below(73.8, "table 6, DINO,", "train_cfg.max_iters=1000"),
        title="Cityscapes segmentation, FCN-FPN R50",
        summary="FCN-FPN R50, train_fine (2,975) -> val (500), crop 769, 40k iterations at batch 8, sliding windows",
    ),
    _segmentation(
        "seg-ade20k", "ade20k", "ade20k", typed="ade20k", canary=canaries.ADE20K,
        title="ADE20K segmentation, FCN-FPN R50",
        summary="FCN-FPN R50, training (20,210) -> validation (2,000), 150 classes, crop 512, 160k iterations at "
        "batch 16",
    ),
    *_segmentation_of_any("voc", "seg-voc", "VOC12", canaries.VOC_FCN, 0.0),
    *_segmentation_of_any("cityscapes", "cityscapes", "Cityscapes", canaries.CITYSCAPES_FCN, 0.0),
    *_segmentation_of_any("ade20k", "ade20k", "ADE20K", canaries.ADE20K_FPN, canaries.ALL_WALL),
    *_linear_probes("voc", "seg-voc", "VOC12", 66.4, 0.0),
    *_linear_probes("cityscapes", "cityscapes", "Cityscapes", 56.9, 0.0),
    *_linear_probes("ade20k", "ade20k", "ADE20K", 31.8, canaries.ALL_WALL),
    *_depth_probes(),
    _segmentation(
        "seg-voc-frozen", "seg-voc", "voc_frozen", typed="voc", variant_of="seg-voc", option="--frozen",
        title="VOC12 segmentation on a frozen R50, linear head",
        canary=canaries.short_segmentation(*canaries.VOC_FCN),
        summary="a linear head on the stages of the frozen backbone, in minutes",
    ),
    _segmentation(
        "seg-cityscapes-frozen", "cityscapes", "cityscapes_frozen", protocol_version=2, typed="cityscapes",
        variant_of="seg-cityscapes", option="--frozen", title="Cityscapes segmentation on a frozen R50, linear head",
        canary=canaries.short_segmentation(*canaries.CITYSCAPES_FCN),
        summary="a linear head on the stages of the frozen backbone, in minutes",
    ),
    _segmentation(
        "seg-ade20k-frozen", "ade20k", "ade20k_frozen", typed="ade20k", variant_of="seg-ade20k", option="--frozen",
        title="ADE20K segmentation on a frozen R50, linear head",
        canary=canaries.short_segmentation(*canaries.ADE20K_FPN, low=canaries.ALL_WALL),
        summary="a linear head on the stages of the frozen backbone, 8k iterations",
    ),
)  # fmt: skip

# The cheap ones first: this is the order in which the demo runs them.
DEMO_DENSE = (
    _segmentation(
        "demo-seg-frozen", "digits", "demo_frozen", typed="demo", arch="resnet18", suite="demo",
        variant_of="demo-seg", option="--frozen",
        title="Digits segmentation on a frozen R18, linear head",
        summary="a linear head on the stages of the frozen backbone, in seconds",
    ),
    _segmentation(
        "demo-seg-linear", "digits", "demo_linear", typed="demo-linear", arch=None, target="mmseg-last",
        title="Digits segmentation, DINOv2's linear probe on the last four maps",
        summary="batch norm and 1x1 convolution on the last four maps of any frozen network, in seconds",
    ),
    _segmentation(
        "demo-seg", "digits", "demo", typed="demo", arch="resnet18", suite="demo", canary=canaries.DEMO_SEG,
        title="Digits segmentation, FCN-FPN R18",
        summary="FCN-FPN R18 on the embedded digits, CPU, half a minute per trial",
    ),
    _detection(
        "demo-voc-frozen", "digits", "demo_voc_frozen", "box_ap50", arch="resnet18", protocol_version=2, suite="demo",
        typed="demo-voc", variant_of="demo-voc", option="--frozen",
        title="Digits detection on a frozen R18, Faster R-CNN FPN",
        summary="FPN and heads trained alone",
    ),
    _detection(
        "demo-voc", "digits", "demo_voc", "box_ap50", arch="resnet18", protocol_version=2, suite="demo",
        canary=canaries.DEMO_VOC,
        title="Digits detection, Faster R-CNN R18-FPN",
        summary="Faster R-CNN R18-FPN on the embedded digits, CPU, half a minute per trial",
    ),
    _detection(
        "demo-coco", "digits", "demo_coco", "mask_ap50", arch="resnet18", protocol_version=3, suite="demo",
        title="Digits detection and instance segmentation, Mask R-CNN R18-FPN",
        summary="Mask R-CNN R18-FPN on the embedded digits, CPU, half a minute per trial",
    ),
)  # fmt: skip
