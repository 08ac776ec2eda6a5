# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Cityscapes segmentation with any architecture: data, crop, batch, iterations and windows of ``cityscapes``.

    tools/transfer_seg.sh cityscapes-any CHECKPOINT

The maps of a network with a pyramid go through FPN, as in ``voc``. Of a plain ViT the maps after each quarter of the
blocks become a pyramid by MMSegmentation's ``Feature2Pyramid``, as in its BEiT and MAE configs. The head is that of
``voc`` for all.
"""

_base_ = ["cityscapes.py", "_base_/any.py"]

max_iters = 40000
by_kind = {{_base_.any_by_kind}}

model = dict(
    data_preprocessor={{_base_.any_preprocessor}},
    backbone={{_base_.any_backbone}},
    neck=None,
    decode_head=dict(in_channels=None),
)
optim_wrapper = {{_base_.any_optim_wrapper}}
param_scheduler = [
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=1500, end=max_iters, by_epoch=False),
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1500, by_epoch=False),
]
