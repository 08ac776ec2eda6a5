# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Digits segmentation on a frozen backbone: which of ten digits each pixel belongs to, seconds on one core.

    tools/transfer_seg.sh demo CHECKPOINT --frozen

The linear head of ``voc --frozen``. Ten classes where ``demo`` has one: with digits on black ground, digit against
background is found by brightness, so any features will do; telling digits apart needs features that know them.
"""

_base_ = ["demo.py"]

max_iters = 30
norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(
    backbone=dict(frozen_stages=4, norm_eval=True),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="LinearPyramidHead",
        in_channels=[64, 128, 256, 512],
        in_index=[0, 1, 2, 3],
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
)

metainfo = dict(
    classes=("background", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    palette=[
        [0, 0, 0],
        # Matplotlib's ten, which can be told apart
        *([31, 119, 180], [255, 127, 14], [44, 160, 44], [214, 39, 40], [148, 103, 189]),
        *([140, 86, 75], [227, 119, 194], [127, 127, 127], [188, 189, 34], [23, 190, 207]),
    ],
)
pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
train_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=pipeline))
test_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=pipeline))

optim_wrapper = dict(optimizer=dict(lr=0.2, weight_decay=0.0))
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(max_iters=max_iters)
