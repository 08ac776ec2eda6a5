# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Cityscapes segmentation on a frozen backbone of any architecture: head and schedule of ``cityscapes --frozen``.

tools/transfer_seg.sh cityscapes-any CHECKPOINT --frozen
"""

_base_ = ["cityscapes_frozen.py", "_base_/any.py"]

model = dict(
    data_preprocessor={{_base_.any_preprocessor}},
    backbone={{_base_.any_frozen_backbone}},
    decode_head=dict(in_channels=None),
)
