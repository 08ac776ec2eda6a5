# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Any architecture: what the protocols ``*_any.py`` share. A name here takes effect where a protocol uses it.

Nobody published these protocols; they are the paper's with what today's networks need. Architecture and preprocessing
are those of the weights, and are filled in where it says None. AdamW with warm-up and linear decay, at the learning
rate and weight decay on which MMSegmentation's configs for MAE and ConvNeXt agree; layers nearer to the image learn
more slowly.
"""

any_norm = dict(type="SyncBN", requires_grad=True)

any_preprocessor = dict(mean=None, std=None, bgr_to_rgb=None)
any_backbone = dict(_delete_=True, type="AnyBackbone", arch=None, frozen=False, norm_cfg=any_norm)
any_frozen_backbone = {**any_backbone, "frozen": True}

# By whether a network has maps at strides 4 to 32 or is plain, as ViTs are, with all maps at one stride.
any_by_kind = dict(
    pyramid=dict(
        neck=dict(type="FPN", out_channels=256, num_outs=4),
        drop_path=0.0,
        layer_decay=0.9,  # by stage, as configs/convnext of MMSegmentation
    ),
    plain=dict(
        neck=dict(type="Feature2Pyramid", norm_cfg=any_norm),
        drop_path=0.1,
        layer_decay=0.65,  # by block, as configs/mae of MMSegmentation
    ),
)
any_optim_wrapper = dict(
    constructor="LayerDecay",
    optimizer=dict(_delete_=True, type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay=None),
)
