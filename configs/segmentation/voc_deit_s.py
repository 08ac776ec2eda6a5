# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""VOC12 segmentation with a DeiT-S/16: ``voc-vit-b`` at another width.

tools/transfer_seg.sh voc-deit-s CHECKPOINT
"""

_base_ = ["voc_vit_b.py"]

model = dict(
    backbone=dict(embed_dims=384, num_heads=6),
    neck=dict(embed_dim=384),
    decode_head=dict(in_channels=[384, 384, 384, 384]),
)
