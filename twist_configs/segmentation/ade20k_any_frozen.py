# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""ADE20K segmentation on a frozen backbone of any architecture: head and schedule of ``ade20k --frozen``.

tools/transfer_seg.sh ade20k-any CHECKPOINT --frozen
"""

_base_ = ["ade20k_frozen.py", "_base_/any.py"]

model = dict(
    data_preprocessor={{_base_.any_preprocessor}},
    backbone={{_base_.any_frozen_backbone}},
    decode_head=dict(in_channels=None),
)
