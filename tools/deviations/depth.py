"""Monocular depth: the linear probe against DINOv2's config, as others kept it, and DINOv2's code."""

from __future__ import annotations

from functools import partial

from tools.deviations.rows import NOT_STATED, Setting, Side
from tools.deviations.segmentation import HOW_IT_RUNS, ours

_COPY, _FEATURES = "dinov2 depth", "any network: the weights' own"
_TRAIN, _TEST = "train_dataloader.dataset.pipeline", "test_dataloader.dataset.pipeline"
_OF_MMSEG = "MMSegmentation's way to write it"

NYU = (
    Setting("model.data_preprocessor.mean", [123.675, 116.28, 103.53], _COPY, _FEATURES),
    Setting("model.data_preprocessor.std", [58.395, 57.12, 57.375], _COPY, _FEATURES),
    Setting("model.data_preprocessor.bgr_to_rgb", True, _COPY, _FEATURES),
    Setting("model.data_preprocessor.pad_val", NOT_STATED, _COPY, "padded to whole patches below and on the right"),
    Setting("model.data_preprocessor.seg_pad_val", NOT_STATED, _COPY, "pixels without a depth"),
    Setting("model.data_preprocessor.size", [416, 544], _COPY),
    Setting("model.backbone.type", "DinoVisionTransformer", _COPY, "any network"),
    Setting("model.backbone.arch", NOT_STATED, _COPY, "any network"),
    Setting("model.backbone.frozen", 100, _COPY, "the same: all blocks are frozen"),
    Setting("model.backbone.class_token", True, "dinov2 depther"),
    Setting("model.backbone.norm_cfg.type", NOT_STATED, _COPY, "of networks with batch norms; frozen with the rest"),
    Setting("model.backbone.norm_cfg.requires_grad", NOT_STATED, _COPY, _OF_MMSEG),
    Setting("model.decode_head.type", "BNHead", _COPY, "the same function, with each map at its own size"),
    Setting("model.decode_head.in_channels", [768], _COPY, f"{_FEATURES}, with the class token's"),
    Setting("model.decode_head.in_index", [0], _COPY, "the same map: the last"),
    Setting("model.decode_head.min_depth", 0.001, _COPY),
    Setting("model.decode_head.max_depth", 10, _COPY),
    Setting("model.decode_head.num_bins", 256, _COPY),
    Setting("model.decode_head.upsample", 4, _COPY),
    Setting("model.decode_head.group_size", 2, _COPY),
    Setting("model.decode_head.warmup_steps", 100, "dinov2 sigloss"),
    Setting("model.decode_head.align_corners", False, _COPY),
    Setting("model.test_cfg.mode", "whole", _COPY, "the same: one window, and mirrored as its test pipeline says"),
    Setting("model.test_cfg.crop_size", [480, 640], _COPY),
    Setting("model.test_cfg.stride", NOT_STATED, _COPY, "of one window"),
    Setting("train_dataloader.dataset.type", "NYUDataset", _COPY, "the same lists; MMSegmentation's reads folders"),
    Setting("train_dataloader.dataset.data_prefix.img_path", NOT_STATED, _COPY, "the lists have the folders"),
    Setting("train_dataloader.dataset.data_prefix.seg_map_path", NOT_STATED, _COPY, "the lists have the folders"),
    Setting("train_dataloader.dataset.ann_file", "nyu_train.txt", _COPY),
    Setting("test_dataloader.dataset.type", "NYUDataset", _COPY, "the same lists"),
    Setting("test_dataloader.dataset.data_prefix.img_path", NOT_STATED, _COPY, "the lists have the folders"),
    Setting("test_dataloader.dataset.data_prefix.seg_map_path", NOT_STATED, _COPY, "the lists have the folders"),
    Setting("test_dataloader.dataset.ann_file", "nyu_test.txt", _COPY),
    Setting(
        _TRAIN,
        [
            "LoadImageFromFile", "DepthLoadAnnotations", "NYUCrop", "RandomRotate", "RandomFlip", "RandomCrop",
            "ColorAug",
        ],
        _COPY,
        "the same steps under MMSegmentation's names and ours, and packed",
    ),
    Setting(f"{_TRAIN}.LoadDepthAnnotation.decode_backend", "pillow", "depth toolbox", "the same numbers"),
    Setting(f"{_TRAIN}.LoadDepthAnnotation.depth_rescale_factor", 1000, _COPY, "the same: theirs divides"),
    Setting(f"{_TRAIN}.FixedCrop.rows", [45, 472], "depth crop"),
    Setting(f"{_TRAIN}.FixedCrop.columns", [43, 608], "depth crop"),
    Setting(f"{_TRAIN}.RandomRotate.prob", 0.5, _COPY),
    Setting(f"{_TRAIN}.RandomRotate.degree", 2.5, _COPY),
    Setting(f"{_TRAIN}.RandomRotate.pad_val", 0, "depth crop"),
    Setting(f"{_TRAIN}.RandomRotate.seg_pad_val", 0, "depth crop"),
    Setting(f"{_TRAIN}.RandomFlip.prob", 0.5, _COPY),
    Setting(f"{_TRAIN}.RandomCrop.crop_size", [416, 544], _COPY),
    Setting(f"{_TRAIN}.GammaAndColour.prob", 0.5, _COPY),
    Setting(f"{_TRAIN}.GammaAndColour.gamma", [0.9, 1.1], _COPY),
    Setting(f"{_TRAIN}.GammaAndColour.brightness", [0.75, 1.25], _COPY),
    Setting(f"{_TRAIN}.GammaAndColour.colour", [0.9, 1.1], _COPY),
    Setting(_TEST, ["LoadImageFromFile", "MultiScaleFlipAug"], _COPY, "mirrored by the model"),
    Setting(f"{_TEST}.LoadDepthAnnotation.decode_backend", "pillow", "depth toolbox", "the same numbers"),
    Setting(f"{_TEST}.LoadDepthAnnotation.depth_rescale_factor", 1000, _COPY, "the same: theirs divides"),
    Setting("train_dataloader.batch_size", NOT_STATED, _COPY, "2 a GPU there, and 8 GPUs in the copy's scripts"),
    Setting("train_dataloader.sampler.type", NOT_STATED, _COPY, _OF_MMSEG),
    Setting("train_dataloader.sampler.shuffle", NOT_STATED, _COPY, _OF_MMSEG),
    Setting("train_cfg.max_iters", 38_400, _COPY),
    Setting("optim_wrapper.type", NOT_STATED, _COPY, _OF_MMSEG),
    Setting("optim_wrapper.optimizer.type", "AdamW", _COPY),
    Setting("optim_wrapper.optimizer.lr", 0.005, _COPY),
    Setting(
        "optim_wrapper.optimizer.betas", "0.9, 0.999; the first from 0.95 to 0.85 and back (OneCycle)", _COPY,
        "constant: MMEngine has no such schedule",
    ),
    Setting("optim_wrapper.optimizer.weight_decay", 0.01, _COPY),
    Setting("optim_wrapper.clip_grad.max_norm", 35, _COPY),
    Setting("optim_wrapper.clip_grad.norm_type", 2, _COPY),
    Setting("param_scheduler.type", "CosineAnnealing", _COPY, "the same, in MMEngine's name"),
    Setting("param_scheduler.eta_min_ratio", 1e-8, _COPY),
    Setting("param_scheduler.begin", 0, _COPY),
    Setting("param_scheduler.end", 38_400, _COPY),
    Setting("param_scheduler.by_epoch", False, _COPY),
    Setting("param_scheduler.1.type", "linear", _COPY, "the same, in MMEngine's name"),
    Setting("param_scheduler.1.start_factor", 0.001, _COPY),
    Setting("param_scheduler.1.begin", 0, _COPY),
    Setting("param_scheduler.1.end", 12_800, _COPY),
    Setting("param_scheduler.1.by_epoch", False, _COPY),
    Setting("test_evaluator.type", NOT_STATED, _COPY, "MMSegmentation's of the toolbox's errors, image by image"),
    Setting("test_evaluator.min_depth_eval", 0.001, _COPY),
    Setting("test_evaluator.max_depth_eval", 10, _COPY),
    Setting("test_evaluator.crop_type", "eigen_crop", _COPY, "the same rows and columns"),
)  # fmt: skip

SIDES = (Side(name="nyu-depth-linear", ours=partial(ours, "nyu-depth-linear"), settings=NYU, no_protocol=HOW_IT_RUNS),)
