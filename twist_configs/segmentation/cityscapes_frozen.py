# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Cityscapes segmentation on a frozen backbone: data and test of ``cityscapes``, 4,000 iterations at batch 8.

    tools/transfer_seg.sh cityscapes CHECKPOINT --frozen

The linear head and its schedule are those of ``voc --frozen``, which says why; 4,000 iterations are eleven times
through the 2,975 images.
"""

_base_ = ["cityscapes.py"]

max_iters = 4000
norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(
    backbone=dict(frozen_stages=4, norm_eval=True),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="LinearPyramidHead",
        in_channels=[256, 512, 1024, 2048],
        in_index=[0, 1, 2, 3],
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=True,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
)

optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(max_iters=max_iters)
