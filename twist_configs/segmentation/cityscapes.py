# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Cityscapes segmentation: trained on train_fine (2,975 images), tested on val (500), 40k iterations at batch 8.

    tools/transfer_seg.sh cityscapes CHECKPOINT

The paper names the data and "FCN-FPN" and released no config. Crop and test are those of MMSegmentation's 769 x 769
configs (``configs/fcn/fcn_r50-d8_4xb2-40k_cityscapes-769x769.py``): windows of 769 with a stride of 513, whose logits
are averaged where they overlap, and ``align_corners``, which sizes of 32 n + 1 are made for. Until version 1 images
were tested whole, without ``align_corners``.

For 512 x 1024 and any other crop, set all three sizes (a row off protocol): ``model.data_preprocessor.size=512,1024
train_dataloader.dataset.pipeline.3.crop_size=512,1024 model.test_cfg.crop_size=512,1024``. Data: ``leftImg8bit`` and
``gtFine`` below the data root, the latter with ``*_gtFine_labelTrainIds.png`` from cityscapesScripts.
"""

_base_ = ["_base_/fcn_fpn.py", "_base_/runtime.py"]

data_root = "."
num_images = dict(train=2975, test=500)
crop_size = (769, 769)
max_iters = 40000

model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(num_classes=19, align_corners=True),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(513, 513)),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2049, 1025), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2049, 1025), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]

train_dataloader = dict(
    batch_size=8,  # over all processes
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="CityscapesDataset",
        data_root=data_root,
        data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CityscapesDataset",
        data_root=data_root,
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)

param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(max_iters=max_iters)
