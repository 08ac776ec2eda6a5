"""Fine-tuning on ImageNet with 1 % of the labels, or on your own images.

    tools/transfer_cls.sh imagenet-1pct CKPT --labels 1percent.txt
    tools/transfer_cls.sh folder-1pct CKPT --data DIR

SimCLR's list of 12,811 images; of your own images the same part of every class, drawn by the seed. Learning rates,
epochs, batch and weight decay are the official README's; the rest is fixed by its evaluate.py
(https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/evaluate.py): plain momentum 0.9,
a cosine that is stepped once per epoch, a head drawn from N(0, 0.01) with biases 0, the last, smaller batch kept (51
steps an epoch), fp32. It runs one process per GPU; eight of them, with 32 images each, over which batch norm takes its
statistics, are our reading. Settings for ViTs were not released: they have the same, with bicubic crops.

The official code prints the best epoch on the validation images; the figures here are the last epoch's.

Published, ResNet-50: top-1 61.2, top-5 84.2.
"""

from transfer.tasks.classification.protocol import FinetuneProtocol, Views

CONFIG = FinetuneProtocol(
    labels_fraction=0.01,
    epochs=20,
    batch_size=256,
    lr_backbone=0.04,
    lr_head=0.2,
    cosine="epoch",
    warmup_steps=0,
    momentum=0.9,
    nesterov=False,
    weight_decay=0.0,
    norm_batch=32,
    head_std=0.01,
    views=Views(augment="crop and flip", size=224, resize=256),
    test_batch_size=256,
)
