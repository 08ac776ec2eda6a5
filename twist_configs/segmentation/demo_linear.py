# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Digits segmentation: a linear probe on the last four maps of any frozen architecture, seconds on one core.

    tools/transfer_seg.sh demo-linear CHECKPOINT

Data, classes and length are those of ``demo --frozen``, the head is that of ``voc-linear4``. Thirty steps need a higher
learning rate than 40,000: with 0.02 the digits' own pre-training ends at mIoU 19.9 and a random ResNet-18 at 13.5, with
0.001 at 13.3 and 10.3; background everywhere has 7.6.
"""

_base_ = ["demo_frozen.py", "_base_/any.py", "_base_/linear.py"]

model = dict(
    data_preprocessor={{_base_.any_preprocessor}},
    backbone={{_base_.linear_backbone}},
    decode_head=dict(in_channels=None, norm_cfg={{_base_.any_norm}}, learned_norms=True),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=0.02, betas=(0.9, 0.999), weight_decay=1e-4))
