# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Linear probes in DINOv2's form: what the protocols ``*_linear*.py`` share, on any frozen architecture.

A batch norm and a 1x1 convolution read the last map, or the last four side by side; scores are upsampled to the
pixels. Of a plain ViT the maps are the patch tokens after each of the last four blocks, through the last norm, without
the class token; BEiT and EVA have a norm for the tokens' mean alone, and their maps stay without one. DINOv2's settings
are those of its published ADE20K head, as kept in
https://github.com/BrianPulfer/robustness-tokens/blob/b1af51e358518690d6da699f1a196a3b352c23bc/configs/eval/segmentation/original_confs/dinov2_vits14_ade20k_linear_config.py

Ours, because DINOv2 has ViTs alone: of a network with a pyramid the maps are the outputs of its stages, the last one
or all four, each normalised at its own size and its scores upsampled to the first one's.
"""

linear_backbone = dict(
    _delete_=True,
    type="AnyBackbone",
    arch=None,
    frozen=True,
    last_blocks=True,
    norm_cfg=dict(type="SyncBN", requires_grad=True),
)
linear_optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4))
linear_max_iters = 40000
# Decay and warm-up are multiplied, as in MMCV's poly policy with warm-up.
linear_param_scheduler = [
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=0, end=40000, by_epoch=False),
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1500, by_epoch=False),
]
linear_test_cfg = dict(mode="slide", crop_size=(512, 512), stride=(341, 341))
