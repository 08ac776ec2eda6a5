"""Segmentation: the paper released no config; ours are held against MMSegmentation's own of the same crop and schedule.

Its FCN gives crop, batch and test, its semantic FPN the model. The batch is in the
name: 4xb4 is four GPUs of four images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tools.deviations.rows import NOT_STATED, Setting, Side
from transfer import benchmarks
from transfer.tasks.segmentation.config import load_protocol

HOW_IT_RUNS = (
    "default_hooks.", "default_scope", "env_cfg.", "log_", "num_images.", "test_dataloader.batch_size",
    "train_dataloader.num_workers", "train_dataloader.persistent_workers", "test_dataloader.num_workers",
    "test_dataloader.persistent_workers", "test_dataloader.sampler.", "train_dataloader.dataset.data_root",
    "test_dataloader.dataset.data_root", "test_dataloader.dataset.test_mode", "model.type", "test_cfg.type",
    "train_cfg.type", "model.pretrained", "model.data_preprocessor.type",
)  # fmt: skip
LOADED = ["LoadImageFromFile", "LoadAnnotations"]
PADDED = "padded once, after normalising, as in that release's Cityscapes configs: with the mean colour, not black"
STEM = "torchvision's 7x7 stem, which pre-trained models have; in V1c's three 3x3 the weights would not fit"


def ours(benchmark: str) -> Mapping[str, Any]:
    """The settings of the resolved config; steps of pipelines by their type, parts of the training images as a list."""
    config = load_protocol(benchmarks.get(benchmark).config_path).to_dict()
    parts = config["train_dataloader"]["dataset"].pop("datasets", None)
    if parts:
        assert all(part["pipeline"] == parts[0]["pipeline"] for part in parts)
        config["train_dataloader"]["dataset"] = {
            **parts[0],
            "ann_file": [part["ann_file"] for part in parts],
            "data_prefix": {name: [part["data_prefix"][name] for part in parts] for name in parts[0]["data_prefix"]},
        }
    return dict(_leaves(config))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}.{key}" if name else key)
    elif name.endswith(".pipeline"):
        yield name, [step["type"] for step in value]
        for step in value:
            rest = {key: each for key, each in step.items() if key != "type"}
            yield from _leaves(rest, f"{name}.{step['type']}")
    elif name == "param_scheduler":
        for number, each in enumerate(value):
            yield from _leaves(each, f"{name}.{number}" if number else name)
    else:
        yield name, value


def _model(classes: int, size: int, *, config: str, align: bool, align_source: str) -> Iterator[Setting]:
    source = "fpn_r50"
    yield from (
        Setting("model.data_preprocessor.mean", [123.675, 116.28, 103.53], source),
        Setting("model.data_preprocessor.std", [58.395, 57.12, 57.375], source),
        Setting("model.data_preprocessor.bgr_to_rgb", True, source),
        Setting("model.data_preprocessor.pad_val", 0, source),
        Setting("model.data_preprocessor.seg_pad_val", 255, source),
        Setting("model.data_preprocessor.size", [size, size], config),
        Setting("model.backbone.type", "ResNetV1c", source, STEM),
        Setting("model.backbone.depth", 50, source),
        Setting("model.backbone.num_stages", 4, source),
        Setting("model.backbone.out_indices", [0, 1, 2, 3], source),
        Setting("model.backbone.strides", [1, 2, 2, 2], source),
        Setting("model.backbone.dilations", [1, 1, 1, 1], source),
        Setting("model.backbone.style", "pytorch", source),
        Setting("model.backbone.frozen_stages", NOT_STATED, source, "MMSegmentation's default: all is fine-tuned"),
        Setting("model.backbone.norm_cfg.type", "SyncBN", source),
        Setting("model.backbone.norm_cfg.requires_grad", True, source),
        Setting("model.backbone.norm_eval", False, source),
        Setting("model.neck.type", "FPN", source),
        Setting("model.neck.in_channels", [256, 512, 1024, 2048], source),
        Setting("model.neck.out_channels", 256, source),
        Setting("model.neck.num_outs", 4, source),
        Setting("model.decode_head.type", "FPNHead", source),
        Setting("model.decode_head.in_channels", [256, 256, 256, 256], source),
        Setting("model.decode_head.in_index", [0, 1, 2, 3], source),
        Setting("model.decode_head.feature_strides", [4, 8, 16, 32], source),
        Setting("model.decode_head.channels", 128, source),
        Setting("model.decode_head.dropout_ratio", 0.1, source),
        Setting("model.decode_head.num_classes", classes, config if size == 512 else source),
        Setting("model.decode_head.norm_cfg.type", "SyncBN", source),
        Setting("model.decode_head.norm_cfg.requires_grad", True, source),
        Setting("model.decode_head.align_corners", align, align_source),
        Setting("model.decode_head.loss_decode.type", "CrossEntropyLoss", source),
        Setting("model.decode_head.loss_decode.use_sigmoid", False, source),
        Setting("model.decode_head.loss_decode.loss_weight", 1.0, source),
    )


def _images(scale: tuple[int, int], crop: int, data: str) -> Iterator[Setting]:
    train, test = "train_dataloader.dataset.pipeline", "test_dataloader.dataset.pipeline"
    padded = ["Pad"] if data == "data aug" else []
    steps = ["RandomResize", "RandomCrop", "RandomFlip", "PhotoMetricDistortion"]
    yield from (
        Setting(train, [*LOADED, *steps, *padded, "PackSegInputs"], data, PADDED if padded else ""),
        Setting(f"{train}.RandomResize.scale", scale, data),
        Setting(f"{train}.RandomResize.ratio_range", [0.5, 2.0], data),
        Setting(f"{train}.RandomResize.keep_ratio", True, data),
        Setting(f"{train}.RandomCrop.crop_size", [crop, crop], data),
        Setting(f"{train}.RandomCrop.cat_max_ratio", 0.75, data),
        Setting(f"{train}.RandomFlip.prob", 0.5, data),
        Setting(test, ["LoadImageFromFile", "Resize", "LoadAnnotations", "PackSegInputs"], data),
        Setting(f"{test}.Resize.scale", scale, data),
        Setting(f"{test}.Resize.keep_ratio", True, data),
    )


def _schedule(iterations: int, batch_size: int, source: str, *, batch_source: str) -> Iterator[Setting]:
    yield from (
        Setting("train_dataloader.batch_size", batch_size, batch_source),
        Setting("train_dataloader.sampler.type", "InfiniteSampler", "cityscapes"),
        Setting("train_dataloader.sampler.shuffle", True, "cityscapes"),
        Setting("train_cfg.max_iters", iterations, source),
        Setting("optim_wrapper.type", "OptimWrapper", source),
        Setting("optim_wrapper.optimizer.type", "SGD", source),
        Setting("optim_wrapper.optimizer.lr", 0.01, source),
        Setting("optim_wrapper.optimizer.momentum", 0.9, source),
        Setting("optim_wrapper.optimizer.weight_decay", 0.0005, source),
        Setting("param_scheduler.type", "PolyLR", source),
        Setting("param_scheduler.eta_min", 1e-4, source),
        Setting("param_scheduler.power", 0.9, source),
        Setting("param_scheduler.begin", 0, source),
        Setting("param_scheduler.end", iterations, source),
        Setting("param_scheduler.by_epoch", False, source),
        Setting("test_evaluator.type", "IoUMetric", "cityscapes"),
        Setting("test_evaluator.iou_metrics", ["mIoU"], "cityscapes"),
        Setting("test_evaluator.ignore_index", NOT_STATED, "cityscapes", "MMSegmentation's default"),
    )


def _data(kind: str, images: Any, masks: Any, test_images: str, test_masks: str, source: str) -> Iterator[Setting]:
    yield from (
        Setting("train_dataloader.dataset.type", kind, source),
        Setting("train_dataloader.dataset.data_prefix.img_path", images, source),
        Setting("train_dataloader.dataset.data_prefix.seg_map_path", masks, source),
        Setting("test_dataloader.dataset.type", kind, source),
        Setting("test_dataloader.dataset.data_prefix.img_path", test_images, source),
        Setting("test_dataloader.dataset.data_prefix.seg_map_path", test_masks, source),
    )


VOC = (
    *_model(21, 512, config="fcn voc", align=False, align_source="fpn_r50"),
    Setting("model.test_cfg.mode", "whole", "fpn_r50"),
    *_data(
        "PascalVOCDataset", ["JPEGImages", "JPEGImages"], ["SegmentationClass", "SegmentationClassAug"],
        "JPEGImages", "SegmentationClass", "data aug",
    ),
    Setting(
        "train_dataloader.dataset.ann_file",
        ["ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/aug.txt"], "data aug",
    ),
    Setting("test_dataloader.dataset.ann_file", "ImageSets/Segmentation/val.txt", "data aug"),
    *_images((2048, 512), 512, "data aug"),
    *_schedule(20_000, 16, "20k", batch_source="fcn voc"),
)  # fmt: skip

CITYSCAPES = (
    *_model(19, 769, config="fcn 769", align=True, align_source="fpn 769"),
    Setting("model.test_cfg.mode", "slide", "fpn 769"),
    Setting("model.test_cfg.crop_size", [769, 769], "fpn 769"),
    Setting("model.test_cfg.stride", [513, 513], "fpn 769"),
    *_data(
        "CityscapesDataset", "leftImg8bit/train", "gtFine/train", "leftImg8bit/val", "gtFine/val", "cityscapes"
    ),
    *_images((2049, 1025), 769, "data 769"),
    *_schedule(40_000, 8, "40k", batch_source="fcn 769"),
)  # fmt: skip

ADE20K = (
    *_model(150, 512, config="fpn ade20k", align=False, align_source="fpn_r50"),
    Setting("model.test_cfg.mode", "whole", "fpn_r50"),
    *_data(
        "ADE20KDataset", "images/training", "annotations/training", "images/validation", "annotations/validation",
        "ade20k",
    ),
    *_images((2048, 512), 512, "ade20k"),
    *_schedule(160_000, 16, "160k", batch_source="fpn ade20k"),
)  # fmt: skip

_LINEAR = "dinov2 linear"
_SHORT_EDGE = "no image is more than four times as long as wide, so that the long edge is no limit either"
_FEATURES = "any network: the weights' own"
LINEAR = (
    Setting("model.data_preprocessor.mean", [123.675, 116.28, 103.53], _LINEAR, _FEATURES),
    Setting("model.data_preprocessor.std", [58.395, 57.12, 57.375], _LINEAR, _FEATURES),
    Setting("model.data_preprocessor.bgr_to_rgb", True, _LINEAR, _FEATURES),
    Setting("model.data_preprocessor.pad_val", 0, _LINEAR),
    Setting("model.data_preprocessor.seg_pad_val", 255, _LINEAR),
    # Both pad to whole patches: DINOv2 around the image, MMSegmentation below and on the right.
    Setting("model.data_preprocessor.size", [512, 512], _LINEAR),
    Setting("model.backbone.type", "DinoVisionTransformer", _LINEAR, "any network"),
    Setting("model.backbone.arch", NOT_STATED, _LINEAR, "any network"),
    Setting("model.backbone.frozen", NOT_STATED, _LINEAR, "the paper's 7.4: the backbone is frozen"),
    Setting("model.backbone.last_blocks", [8, 9, 10, 11], _LINEAR, "the same, of a ViT of any depth"),
    Setting("model.backbone.norm_cfg.type", NOT_STATED, _LINEAR, "of networks with batch norms; frozen with the rest"),
    Setting("model.backbone.norm_cfg.requires_grad", NOT_STATED, _LINEAR, "MMSegmentation's way to write it"),
    Setting("model.neck", NOT_STATED, _LINEAR, "none"),
    Setting("model.decode_head.type", "BNHead", _LINEAR, "the same function, with each map at its own size"),
    Setting("model.decode_head.in_channels", [384], _LINEAR, _FEATURES),
    Setting("model.decode_head.in_index", [3], _LINEAR),
    Setting("model.decode_head.num_classes", 150, _LINEAR),
    Setting("model.decode_head.norm_cfg.type", "SyncBN", _LINEAR),
    Setting("model.decode_head.norm_cfg.requires_grad", True, _LINEAR),
    Setting("model.decode_head.learned_norms", True, "dinov2 head"),
    Setting("model.decode_head.align_corners", False, _LINEAR),
    Setting("model.decode_head.loss_decode.type", "CrossEntropyLoss", _LINEAR),
    Setting("model.decode_head.loss_decode.use_sigmoid", False, _LINEAR),
    Setting("model.decode_head.loss_decode.loss_weight", 1.0, _LINEAR),
    Setting("model.test_cfg.mode", "slide", _LINEAR),
    Setting("model.test_cfg.crop_size", [512, 512], _LINEAR),
    Setting("model.test_cfg.stride", [341, 341], _LINEAR),
    *_data(
        "ADE20KDataset", "images/training", "annotations/training", "images/validation", "annotations/validation",
        _LINEAR,
    ),
    *(
        replace(setting, official=[99999999, 512], why=_SHORT_EDGE) if setting.name.endswith(".scale") else setting
        for setting in _images((2048, 512), 512, _LINEAR)
    ),
    *(
        setting
        for setting in _schedule(40_000, 16, _LINEAR, batch_source=_LINEAR)
        if not setting.name.startswith(("optim_wrapper.optimizer.", "param_scheduler."))
    ),
    Setting("param_scheduler.type", "PolyLR", _LINEAR),
    Setting("param_scheduler.eta_min", 0.0, _LINEAR),
    Setting("param_scheduler.power", 1.0, _LINEAR),
    Setting("param_scheduler.begin", 0, _LINEAR),
    Setting("param_scheduler.end", 40_000, _LINEAR),
    Setting("param_scheduler.by_epoch", False, _LINEAR),
    Setting("param_scheduler.1.type", "LinearLR", _LINEAR),
    Setting("param_scheduler.1.start_factor", 1e-6, _LINEAR),
    Setting("param_scheduler.1.begin", 0, _LINEAR),
    Setting("param_scheduler.1.end", 1500, _LINEAR),
    Setting("param_scheduler.1.by_epoch", False, _LINEAR),
    Setting("optim_wrapper.optimizer.type", "AdamW", _LINEAR),
    Setting("optim_wrapper.optimizer.lr", 0.001, _LINEAR),
    Setting("optim_wrapper.optimizer.betas", [0.9, 0.999], _LINEAR),
    Setting("optim_wrapper.optimizer.weight_decay", 0.0001, _LINEAR),
)  # fmt: skip

SIDES = tuple(
    Side(name=name, ours=partial(ours, name), settings=settings, no_protocol=HOW_IT_RUNS)
    for name, settings in (
        ("seg-voc", VOC),
        ("seg-cityscapes", CITYSCAPES),
        ("seg-ade20k", ADE20K),
        ("seg-ade20k-linear", LINEAR),
    )
)
