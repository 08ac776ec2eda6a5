# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Monocular depth on NYUv2: as ``nyu-depth-linear`` on four maps side by side.

    tools/transfer_seg.sh nyu-depth-linear4 CHECKPOINT

They are those after each quarter of the blocks. DINOv2 has the same of its ViT-S, B and g, and of its ViT-L blocks 5,
12, 18 and 24, here 6, 12, 18 and 24:
https://github.com/facebookresearch/dinov2/blob/5b0e833ea5f9fd9ba5442e767ac5fe752a7002e4/dinov2/hub/depthers.py
"""

_base_ = ["nyu_depth_linear.py"]

model = dict(decode_head=dict(in_index=[0, 1, 2, 3]))
