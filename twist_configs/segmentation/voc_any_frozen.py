# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""VOC12 segmentation on a frozen backbone of any architecture: head and schedule of ``voc --frozen``.

tools/transfer_seg.sh voc-any CHECKPOINT --frozen
"""

_base_ = ["voc_frozen.py", "_base_/any.py"]

model = dict(
    data_preprocessor={{_base_.any_preprocessor}},
    backbone={{_base_.any_frozen_backbone}},
    decode_head=dict(in_channels=None),
)
