# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""ADE20K segmentation: a linear probe on the last map of any frozen architecture, 40k iterations at batch 16.

    tools/transfer_seg.sh ade20k-linear CHECKPOINT

Data, crop and augmentation are those of ``ade20k``; all else is ``_base_/linear.py``.
"""

_base_ = ["ade20k.py", "_base_/any.py", "_base_/linear.py"]

max_iters = {{_base_.linear_max_iters}}

model = dict(
    data_preprocessor={{_base_.any_preprocessor}},
    backbone={{_base_.linear_backbone}},
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="LinearPyramidHead",
        in_channels=None,
        in_index=[3],
        num_classes=150,
        norm_cfg={{_base_.any_norm}},
        learned_norms=True,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    test_cfg={{_base_.linear_test_cfg}},
)

optim_wrapper = {{_base_.linear_optim_wrapper}}
param_scheduler = {{_base_.linear_param_scheduler}}
train_cfg = dict(max_iters=max_iters)
