"""Detection: TWIST's official files of VOC and COCO, and MoCo's of the C4 variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tools.deviations.rows import Setting, Side
from transfer import benchmarks
from transfer.tasks.detection.config import leaves, protocol_config

# Detectron2's defaults that both sides keep, and that a reader looks for.
NAMED_DEFAULTS = (
    "SOLVER.MOMENTUM", "SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_NORM", "SOLVER.GAMMA", "INPUT.MAX_SIZE_TRAIN",
    "INPUT.MAX_SIZE_TEST", "INPUT.RANDOM_FLIP", "TEST.PRECISE_BN.NUM_ITER", "SOLVER.AMP.ENABLED",
)  # fmt: skip


ONCE = "the 1x schedule, as coco's; the file is the 2x one"


def ours(benchmark: str) -> Mapping[str, Any]:
    """The settings that our files name and :data:`NAMED_DEFAULTS`, from the resolved config."""
    path = benchmarks.get(benchmark).config_path
    resolved = dict(leaves(protocol_config(path, device="cuda")))  # on CPU SyncBN is BN
    return {name: resolved[name] for name in sorted({*_named(path), *NAMED_DEFAULTS})}


def _named(path: Path) -> Iterator[str]:
    """Every setting that a file names, or one that it is based on."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if base := content.pop("_BASE_", None):
        yield from _named(path.parent / base)
    yield from _flat(content)


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


DEFAULTS = (
    Setting("SOLVER.MOMENTUM", 0.9, "d2"),
    Setting("SOLVER.WEIGHT_DECAY", 0.0001, "d2"),
    Setting("SOLVER.WEIGHT_DECAY_NORM", 0.0, "d2"),
    Setting("SOLVER.GAMMA", 0.1, "d2"),
    Setting("INPUT.MAX_SIZE_TRAIN", 1333, "d2"),
    Setting("INPUT.MAX_SIZE_TEST", 1333, "d2"),
    Setting("INPUT.RANDOM_FLIP", "horizontal", "d2"),
    Setting("TEST.PRECISE_BN.NUM_ITER", 200, "d2"),
    Setting("SOLVER.AMP.ENABLED", False, "d2"),
)


def _input(source: str) -> tuple[Setting, ...]:
    return (
        Setting("MODEL.PIXEL_MEAN", [123.675, 116.28, 103.53], source),
        Setting("MODEL.PIXEL_STD", [58.395, 57.12, 57.375], source),
        Setting("MODEL.RESNETS.STRIDE_IN_1X1", False, source),
        Setting("INPUT.FORMAT", "RGB", source),
    )


def _fpn(config: str) -> tuple[Setting, ...]:
    """What TWIST's two files say alike, with its address in either: ``voc`` or ``coco``."""
    base = f"{config} base"
    return (
        *DEFAULTS,
        *_input(f"{config} input"),
        Setting("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", base),
        Setting("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone", base),
        Setting("MODEL.RESNETS.OUT_FEATURES", ["res2", "res3", "res4", "res5"], base),
        Setting("MODEL.FPN.IN_FEATURES", ["res2", "res3", "res4", "res5"], base),
        Setting("MODEL.ANCHOR_GENERATOR.SIZES", [[32], [64], [128], [256], [512]], base),
        Setting("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[0.5, 1.0, 2.0]], base),
        Setting("MODEL.RPN.IN_FEATURES", ["p2", "p3", "p4", "p5", "p6"], base),
        Setting("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 2000, base),
        Setting("MODEL.RPN.PRE_NMS_TOPK_TEST", 1000, base),
        Setting("MODEL.RPN.POST_NMS_TOPK_TRAIN", 1000, base),
        Setting("MODEL.RPN.POST_NMS_TOPK_TEST", 1000, base),
        Setting("MODEL.ROI_HEADS.NAME", "StandardROIHeads", base),
        Setting("MODEL.ROI_HEADS.IN_FEATURES", ["p2", "p3", "p4", "p5"], base),
        Setting("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 7, base),
        Setting("SOLVER.IMS_PER_BATCH", 16, base),
        Setting("SOLVER.BASE_LR", 0.02, base),
        Setting("MODEL.BACKBONE.FREEZE_AT", 0, config),
        Setting("MODEL.RESNETS.DEPTH", 50, config),
        Setting("MODEL.RESNETS.NORM", "SyncBN", config),
        Setting("MODEL.FPN.NORM", "SyncBN", config),
        Setting("MODEL.ROI_BOX_HEAD.NAME", "FastRCNNConvFCHead", config),
        Setting("MODEL.ROI_BOX_HEAD.NUM_CONV", 4, config),
        Setting("MODEL.ROI_BOX_HEAD.NUM_FC", 1, config),
        Setting("MODEL.ROI_BOX_HEAD.NORM", "SyncBN", config),
        Setting("TEST.PRECISE_BN.ENABLED", True, config),
    )


def _c4(config: str) -> tuple[Setting, ...]:
    """What MoCo's two files say alike, with its address in either: ``voc c4`` or ``coco c4``."""
    return (
        *DEFAULTS,
        *_input(f"{config} moco"),
        Setting("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "c4 base"),
        Setting("MODEL.BACKBONE.NAME", "build_resnet_backbone", "d2"),
        Setting("MODEL.BACKBONE.FREEZE_AT", 0, "c4 base"),
        Setting("MODEL.RESNETS.DEPTH", 50, "d2"),
        Setting("MODEL.RESNETS.OUT_FEATURES", ["res4"], "d2"),
        Setting("MODEL.RESNETS.NORM", "naiveSyncBN", "c4 base"),
        Setting("MODEL.ANCHOR_GENERATOR.SIZES", [[32, 64, 128, 256, 512]], "d2"),
        Setting("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[0.5, 1.0, 2.0]], "d2"),
        Setting("MODEL.RPN.IN_FEATURES", ["res4"], "d2"),
        Setting("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 12000, "d2"),
        Setting("MODEL.RPN.PRE_NMS_TOPK_TEST", 6000, "c4 base"),
        Setting("MODEL.RPN.POST_NMS_TOPK_TRAIN", 2000, "d2"),
        Setting("MODEL.RPN.POST_NMS_TOPK_TEST", 1000, "c4 base"),
        Setting("MODEL.ROI_HEADS.NAME", "Res5ROIHeadsExtraNorm", "c4 base", "our name of the same heads"),
        Setting("MODEL.ROI_HEADS.IN_FEATURES", ["res4"], "d2"),
        Setting("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 512, "d2"),
        Setting("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 14, "d2"),
        Setting("SOLVER.IMS_PER_BATCH", 16, "c4 base"),
        Setting("SOLVER.BASE_LR", 0.02, "c4 base"),
        Setting("TEST.PRECISE_BN.ENABLED", True, "c4 base"),
        Setting("MODEL.MASK_ON", config == "coco c4", config),
        Setting("INPUT.MIN_SIZE_TEST", 800, config),
    )


VOC = (
    *_fpn("voc"),
    Setting("MODEL.ROI_HEADS.NUM_CLASSES", 20, "voc"),
    Setting("INPUT.MIN_SIZE_TRAIN", [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800], "voc"),
    Setting("INPUT.MIN_SIZE_TEST", 800, "voc"),
    Setting("DATASETS.TRAIN", ["voc_2007_trainval", "voc_2012_trainval"], "voc"),
    Setting("DATASETS.TEST", ["voc_2007_test"], "voc"),
    Setting("SOLVER.STEPS", [18_000, 22_000], "voc"),
    Setting("SOLVER.MAX_ITER", 24_000, "voc"),
    Setting("SOLVER.WARMUP_ITERS", 100, "voc"),
)

COCO = (
    *_fpn("coco"),
    Setting("MODEL.MASK_ON", True, "coco"),
    Setting("MODEL.ROI_HEADS.NUM_CLASSES", 80, "d2"),
    Setting("MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead", "coco base"),
    Setting("MODEL.ROI_MASK_HEAD.NUM_CONV", 4, "coco base"),
    Setting("MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", 14, "coco base"),
    Setting("MODEL.ROI_MASK_HEAD.NORM", "SyncBN", "coco"),
    Setting("INPUT.MIN_SIZE_TRAIN", [640, 672, 704, 736, 768, 800], "coco base"),
    Setting("INPUT.MIN_SIZE_TEST", 800, "d2"),
    Setting("DATASETS.TRAIN", ["coco_2017_train"], "coco base"),
    Setting("DATASETS.TEST", ["coco_2017_val"], "coco base"),
    Setting("SOLVER.STEPS", [60_000, 80_000], "coco"),
    Setting("SOLVER.MAX_ITER", 90_000, "coco"),
    Setting("SOLVER.WARMUP_ITERS", 1000, "d2"),
)

VOC_C4 = (
    *_c4("voc c4"),
    Setting("MODEL.ROI_HEADS.NUM_CLASSES", 20, "voc c4"),
    Setting("INPUT.MIN_SIZE_TRAIN", [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800], "voc c4"),
    Setting("DATASETS.TRAIN", ["voc_2007_trainval", "voc_2012_trainval"], "voc c4"),
    Setting("DATASETS.TEST", ["voc_2007_test"], "voc c4"),
    Setting("SOLVER.STEPS", [18_000, 22_000], "voc c4"),
    Setting("SOLVER.MAX_ITER", 24_000, "voc c4"),
    Setting("SOLVER.WARMUP_ITERS", 100, "voc c4"),
)

COCO_C4 = (
    *_c4("coco c4"),
    Setting("MODEL.ROI_HEADS.NUM_CLASSES", 80, "d2"),
    Setting("MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead", "d2"),
    Setting("MODEL.ROI_MASK_HEAD.NUM_CONV", 0, "d2"),
    Setting("MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", 14, "d2"),
    Setting("INPUT.MIN_SIZE_TRAIN", [640, 672, 704, 736, 768, 800], "coco c4"),
    Setting("DATASETS.TRAIN", ["coco_2017_train"], "coco c4"),
    Setting("DATASETS.TEST", ["coco_2017_val"], "coco c4"),
    Setting("SOLVER.STEPS", [120_000, 160_000], "coco c4", ONCE),
    Setting("SOLVER.MAX_ITER", 180_000, "coco c4", ONCE),
    Setting("SOLVER.WARMUP_ITERS", 1000, "d2"),
)

SIDES = tuple(
    Side(name=name, ours=partial(ours, name), settings=settings, no_protocol=("VERSION", "SOLVER.CHECKPOINT_PERIOD"))
    for name, settings in (("voc", VOC), ("coco", COCO), ("voc-c4", VOC_C4), ("coco-c4", COCO_C4))
)
