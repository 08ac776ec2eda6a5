# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""VOC12 segmentation: trained on train + SBD's extra annotations (10,582 images), tested on val (1,449).

    tools/transfer_seg.sh voc CHECKPOINT

Data: ``VOCdevkit/VOC2012`` below the data root, with SBD's masks in ``SegmentationClassAug`` and the 9,118 additional
names in ``ImageSets/Segmentation/aug.txt``: MMSegmentation's layout.
"""

_base_ = ["_base_/fcn_fpn.py", "_base_/runtime.py"]

data_root = "VOCdevkit/VOC2012"
num_images = dict(train=10582, test=1449)  # any other count is another protocol
crop_size = (512, 512)

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
        type="ConcatDataset",
        datasets=[
            dict(
                type="PascalVOCDataset",
                data_root=data_root,
                data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
                ann_file="ImageSets/Segmentation/train.txt",
                pipeline=train_pipeline,
            ),
            dict(
                type="PascalVOCDataset",
                data_root=data_root,
                data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassAug"),
                ann_file="ImageSets/Segmentation/aug.txt",
                pipeline=train_pipeline,
            ),
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,  # images have different sizes
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="PascalVOCDataset",
        data_root=data_root,
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        ann_file="ImageSets/Segmentation/val.txt",
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
