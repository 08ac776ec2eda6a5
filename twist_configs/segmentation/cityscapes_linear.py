# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Cityscapes segmentation: a linear probe on the last map of any frozen architecture, 40k iterations at batch 16.

    tools/transfer_seg.sh cityscapes-linear CHECKPOINT

The data are those of ``cityscapes``. DINOv2 published no configuration for Cityscapes: crop, windows and all else are
those of its ADE20K (``_base_/linear.py``), images are taken at their own 1024 x 2048, as in MMSegmentation's
``configs/_base_/datasets/cityscapes.py``.
"""

_base_ = ["cityscapes.py", "_base_/any.py", "_base_/linear.py"]

max_iters = {{_base_.linear_max_iters}}
crop_size = (512, 512)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2048, 1024), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

model = dict(
    data_preprocessor=dict(mean=None, std=None, bgr_to_rgb=None, size=crop_size),
    backbone={{_base_.linear_backbone}},
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="LinearPyramidHead",
        in_channels=None,
        in_index=[3],
        num_classes=19,
        norm_cfg={{_base_.any_norm}},
        learned_norms=True,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    test_cfg={{_base_.linear_test_cfg}},
)

optim_wrapper = {{_base_.linear_optim_wrapper}}
param_scheduler = {{_base_.linear_param_scheduler}}
train_cfg = dict(max_iters=max_iters)
