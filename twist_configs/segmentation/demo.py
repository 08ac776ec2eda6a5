# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""Digits segmentation: FCN-FPN with a ResNet-18 and slim maps on the embedded digits, half a minute on one core.

    tools/transfer_seg.sh demo CHECKPOINT

128 x 128 pixels, digit against background: with ten classes, half a minute of training hardly leaves the
all-background floor. Apart from its size the model is the paper's.
"""

_base_ = ["_base_/fcn_fpn.py", "_base_/runtime.py"]

data_root = "VOCdevkit/VOC2007"
num_images = None  # as many as the embedded data has
max_iters = 30
image_size = (128, 128)

model = dict(
    data_preprocessor=dict(size=image_size),
    backbone=dict(depth=18),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=32, num_classes=2),
)

metainfo = dict(classes=("background", "digit"), palette=[[0, 0, 0], [128, 0, 0]])
# All 200 images have less than one turn in 30 batches of 4: nothing to augment against.
pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="MergeForeground"),
    dict(type="PackSegInputs"),
]
dataset = dict(
    type="BaseSegDataset",
    metainfo=metainfo,
    data_root=data_root,
    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
    img_suffix=".jpg",
    seg_map_suffix=".png",
    pipeline=pipeline,
)

# Images are small and trials run side by side, one core each: no worker processes.
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(ann_file="ImageSets/Segmentation/trainval.txt", **dataset),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(ann_file="ImageSets/Segmentation/test.txt", test_mode=True, **dataset),
)

optim_wrapper = dict(optimizer=dict(lr=0.05), clip_grad=dict(max_norm=5.0))
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=None,  # half a minute is sooner run again than resumed
)
