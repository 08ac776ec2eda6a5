# ruff: noqa: C408 - dict() is how MMEngine's configs are written
"""FCN-FPN: plain ResNet, feature pyramid, and a fully convolutional head over the whole pyramid.

The paper names "FCN-FPN" and 256 channels but never released a config. This is the suite's reading of it, the same
for every backbone: MMSegmentation's ``FPNHead`` (the semantic branch of Panoptic FPN, arXiv 1901.02446) at its stock
width and dropout. It is the head that the framework has for pyramids: 3x3 convolutions and a 1x1 classifier, nothing
but convolutions, and it reads P2 to P5. ``FCNHead`` would read one map, so either three quarters of the pyramid would
go unused or the maps would have to be concatenated at 1/4 scale, which costs four times the memory.
"""

# SyncBN makes the batch statistics those of the whole batch. MMEngine turns it into BN in a single process,
# where the two are the same.
norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        # ImageNet's statistics on the 0-255 scale, for RGB: images are read as BGR and turned.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    pretrained=None,  # the weights come in through backbone.init_cfg, and are checked tensor by tensor
    backbone=dict(
        # The 7x7 stem of the pre-trained models. Stock configs use ResNetV1c, whose three 3x3 convolutions would
        # stay random without a word.
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        strides=(1, 2, 2, 2),
        dilations=(1, 1, 1, 1),
        style="pytorch",  # stride in the 3x3 convolution, as torchvision
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
    ),
    neck=dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=4),
    decode_head=dict(
        type="FPNHead",
        in_channels=[256, 256, 256, 256],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=128,
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
