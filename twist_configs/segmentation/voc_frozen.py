# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""VOC12 segmentation on a frozen backbone: data and test of ``voc``, a linear head, 4,000 iterations at batch 16.

    tools/transfer_seg.sh voc CHECKPOINT --frozen

The backbone stays as it came, batch norms in eval mode, and a linear classifier reads its four stages; a pyramid would
learn features of its own. Fine-tuning may learn the same whatever it started from; what a linear classifier finds in
fixed features was there before. No frozen protocol is common, so this is the suite's own: six times through the 10,582
images, no weight decay on so few parameters, the rest as in ``voc``. Its figures are never beside fine-tuned ones.
"""

_base_ = ["voc.py"]

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
        num_classes=21,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
)

optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(max_iters=max_iters)
