# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Monocular depth on NYUv2: a linear probe on the last map of any frozen architecture, 38.4k iterations at batch 16.

    tools/transfer_seg.sh nyu-depth-linear CHECKPOINT

A 1x1 convolution without batch norm on the map of the last block, before the last norm, with the class token joined to
each patch token, upsampled by 4: scores of 256 depths from 1 mm to 10 m. Head and loss are DINOv2's, the data are the
24,231 and 654 images of BTS, and the settings are those of DINOv2's config as kept in
https://github.com/Jiawei-Yang/Denoising-ViT/blob/2d08bd84c5188314fb599e48858ca5d422395777/evaluation/configs/vitb_nyu_linear_config.py

There a GPU has 2 images, over which the loss is taken; here too, however many GPUs there are. DINOv2's gradient loss
compares images of a GPU that are two places apart, not pixels, and is 0 with 2 images: it is left out.

Ours, because DINOv2 has ViTs alone: a network with a pyramid has no class token, its map is that of its last stage (the
first one of ``nyu-depth-linear4`` has stride 4), and no map is upsampled beyond stride 4.
"""

_base_ = ["_base_/any.py", "_base_/runtime.py"]

data_root = "."
num_images = dict(train=24231, test=654)
crop_size = (416, 544)
image_size = (480, 640)
max_iters = 38400

model = dict(
    type="DepthEstimator",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=None,
        std=None,
        bgr_to_rgb=None,
        pad_val=0,
        seg_pad_val=0,  # no depth
        size=crop_size,
    ),
    pretrained=None,
    backbone=dict(
        type="AnyBackbone", arch=None, frozen=True, class_token=True, norm_cfg=dict(type="SyncBN", requires_grad=True)
    ),
    decode_head=dict(
        type="LinearDepthHead",
        in_channels=None,
        in_index=[3],
        min_depth=0.001,
        max_depth=10.0,
        num_bins=256,
        upsample=4,
        group_size=2,
        warmup_steps=100,
        align_corners=False,
    ),
    # One window as large as the image, and the same mirrored: their mean.
    test_cfg=dict(mode="slide_flip", crop_size=image_size, stride=image_size),
)

depths = dict(type="LoadDepthAnnotation", decode_backend="cv2", depth_rescale_factor=0.001)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    depths,
    dict(type="FixedCrop", rows=(45, 472), columns=(43, 608)),  # without the frame that has no depth
    dict(type="RandomRotate", prob=0.5, degree=2.5, pad_val=0, seg_pad_val=0),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="GammaAndColour", prob=0.5, gamma=(0.9, 1.1), brightness=(0.75, 1.25), colour=(0.9, 1.1)),
    dict(type="PackSegInputs"),
]
test_pipeline = [dict(type="LoadImageFromFile"), depths, dict(type="PackSegInputs")]

train_dataloader = dict(
    batch_size=16,  # over all processes
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="DepthListDataset",
        data_root=data_root,
        data_prefix=dict(img_path="", seg_map_path=""),
        ann_file="nyu_train.txt",
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="DepthListDataset",
        data_root=data_root,
        data_prefix=dict(img_path="", seg_map_path=""),
        ann_file="nyu_test.txt",
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
# Errors where Eigen et al. (arXiv:1406.2283) compare them: rows 45 to 470 and columns 41 to 600.
test_evaluator = dict(
    _delete_=True, type="DepthErrors", min_depth_eval=0.001, max_depth_eval=10.0, crop_type="nyu_crop"
)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=0.005, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=dict(max_norm=35, norm_type=2),
)
# Decay and warm-up are multiplied, as in MMCV.
param_scheduler = [
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-8, begin=0, end=max_iters, by_epoch=False),
    dict(type="LinearLR", start_factor=0.001, begin=0, end=12800, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters)
