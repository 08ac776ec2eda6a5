"""Detection: the official VOC config is TWIST's; COCO's was not released and is InfoMin's of the same name."""

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
    "INPUT.MAX_SIZE_TEST", "INPUT.RANDOM_FLIP", "TEST.PRECISE_BN.NUM_ITER",
)  # fmt: skip


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


COMMON = (
    Setting("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "fpn"),
    Setting("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone", "fpn"),
    Setting("MODEL.RESNETS.OUT_FEATURES", ["res2", "res3", "res4", "res5"], "fpn"),
    Setting("MODEL.FPN.IN_FEATURES", ["res2", "res3", "res4", "res5"], "fpn"),
    Setting("MODEL.ANCHOR_GENERATOR.SIZES", [[32], [64], [128], [256], [512]], "fpn"),
    Setting("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[0.5, 1.0, 2.0]], "fpn"),
    Setting("MODEL.RPN.IN_FEATURES", ["p2", "p3", "p4", "p5", "p6"], "fpn"),
    Setting("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 2000, "fpn"),
    Setting("MODEL.RPN.PRE_NMS_TOPK_TEST", 1000, "fpn"),
    Setting("MODEL.RPN.POST_NMS_TOPK_TRAIN", 1000, "fpn"),
    Setting("MODEL.RPN.POST_NMS_TOPK_TEST", 1000, "fpn"),
    Setting("MODEL.ROI_HEADS.NAME", "StandardROIHeads", "fpn"),
    Setting("MODEL.ROI_HEADS.IN_FEATURES", ["p2", "p3", "p4", "p5"], "fpn"),
    Setting("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 7, "fpn"),
    Setting("SOLVER.IMS_PER_BATCH", 16, "fpn"),
    Setting("SOLVER.BASE_LR", 0.02, "fpn"),
    Setting("SOLVER.MOMENTUM", 0.9, "d2"),
    Setting("SOLVER.WEIGHT_DECAY", 0.0001, "d2"),
    Setting("SOLVER.WEIGHT_DECAY_NORM", 0.0, "d2"),
    Setting("SOLVER.GAMMA", 0.1, "d2"),
    Setting("INPUT.MAX_SIZE_TRAIN", 1333, "d2"),
    Setting("INPUT.MAX_SIZE_TEST", 1333, "d2"),
    Setting("INPUT.RANDOM_FLIP", "horizontal", "d2"),
    Setting("TEST.PRECISE_BN.NUM_ITER", 200, "d2"),
)


def _settings(config: str) -> tuple[Setting, ...]:
    """What both files say alike, with its address in either: ``voc`` or ``coco``."""
    return (
        *COMMON,
        Setting("MODEL.PIXEL_MEAN", [123.675, 116.28, 103.53], f"{config} input"),
        Setting("MODEL.PIXEL_STD", [58.395, 57.12, 57.375], f"{config} input"),
        Setting("MODEL.RESNETS.STRIDE_IN_1X1", False, f"{config} input"),
        Setting("INPUT.FORMAT", "RGB", f"{config} input"),
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


VOC = (
    *_settings("voc"),
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
    *_settings("coco"),
    Setting("MODEL.MASK_ON", True, "coco"),
    Setting("MODEL.ROI_HEADS.NUM_CLASSES", 80, "d2"),
    Setting("MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead", "fpn"),
    Setting("MODEL.ROI_MASK_HEAD.NUM_CONV", 4, "fpn"),
    Setting("MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", 14, "fpn"),
    Setting("MODEL.ROI_MASK_HEAD.NORM", "SyncBN", "coco"),
    Setting("INPUT.MIN_SIZE_TRAIN", [640, 672, 704, 736, 768, 800], "fpn"),
    Setting("INPUT.MIN_SIZE_TEST", 800, "d2"),
    Setting("DATASETS.TRAIN", ["coco_2017_train"], "fpn"),
    Setting("DATASETS.TEST", ["coco_2017_val"], "fpn"),
    Setting("SOLVER.STEPS", [60_000, 80_000], "coco"),
    Setting("SOLVER.MAX_ITER", 90_000, "coco"),
    Setting("SOLVER.WARMUP_ITERS", 1000, "d2"),
)

SIDES = tuple(
    Side(name=name, ours=partial(ours, name), settings=settings, no_protocol=("VERSION", "SOLVER.CHECKPOINT_PERIOD"))
    for name, settings in (("voc", VOC), ("coco", COCO))
)
