# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""VOC12 segmentation with a ViT-B/16: data, crop, batch and iterations of ``voc``.

    tools/transfer_seg.sh voc-vit-b CHECKPOINT

Nobody published this protocol; it is ``voc`` with what a ViT needs. Blocks 3, 6, 9 and 12 become a pyramid by
MMSegmentation's ``Feature2Pyramid`` (as its BEiT and MAE configs do), under the same head as every other model. AdamW
with warm-up in place of SGD, at the learning rate and weight decay of those configs; one learning rate for all layers.
"""

_base_ = ["voc.py"]

max_iters = 20000
norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        img_size=224,  # of the position embedding in the file, which is resampled for the crop
        patch_size=16,
        embed_dims=768,
        num_layers=12,
        num_heads=12,
        out_indices=(2, 5, 8, 11),
        patch_bias=True,
        norm_cfg=dict(type="LN", eps=1e-6),
        interpolate_mode="bicubic",
        drop_path_rate=0.1,
    ),
    neck=dict(_delete_=True, type="Feature2Pyramid", embed_dim=768, rescales=[4, 2, 1, 0.5], norm_cfg=norm_cfg),
    decode_head=dict(in_channels=[768, 768, 768, 768]),
)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=1500, end=max_iters, by_epoch=False),
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1500, by_epoch=False),
]
