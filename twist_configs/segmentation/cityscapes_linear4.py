# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Cityscapes segmentation: as ``cityscapes-linear`` on the last four maps side by side.

    tools/transfer_seg.sh cityscapes-linear4 CHECKPOINT

DINOv2's column "+ms" has these maps too, but larger images and several scales in the test: its figures are not beside
these.
"""

_base_ = ["cityscapes_linear.py"]

model = dict(decode_head=dict(in_index=[0, 1, 2, 3]))
