# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""ADE20K segmentation: 150 classes, trained on training (20,210 images), tested on validation (2,000).

    tools/transfer_seg.sh ade20k CHECKPOINT

The paper has no ADE20K. Model and test are those of ``voc``; crop, batch and 160k iterations are those of
MMSegmentation's semantic FPN (``configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py``). Data: ``ADEChallengeData2016``
below the data root. Its masks have 0 for what is none of the 150 classes: MMSegmentation's data set makes that the
ignored value, and 0 to 149 of the classes.
"""

_base_ = ["_base_/fcn_fpn.py", "_base_/runtime.py"]

data_root = "ADEChallengeData2016"
num_images = dict(train=20210, test=2000)
crop_size = (512, 512)
max_iters = 160000

model = dict(data_preprocessor=dict(size=crop_size), decode_head=dict(num_classes=150))

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    dict(type="LoadAnnotations"),  # after Resize: scores are upsampled to the mask, not the mask scaled down
    dict(type="PackSegInputs"),
]

train_dataloader = dict(
    batch_size=16,  # over all processes
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="ADE20KDataset",
        data_root=data_root,
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,  # images have different sizes
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ADE20KDataset",
        data_root=data_root,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)

param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(max_iters=max_iters)
