"""Fine-tuning on ImageNet with 10 % of the labels, or on your own images.

    tools/transfer_cls.sh imagenet-10pct CKPT --labels 10percent.txt
    tools/transfer_cls.sh folder-10pct CKPT --data DIR

SimCLR's list of 128,116 images; of your own images the same part of every class, drawn by the seed. Learning rates,
epochs, batch and weight decay are the official README's; the rest is fixed by its evaluate.py
(https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/evaluate.py): plain momentum 0.9,
a cosine that is stepped once per epoch, a head drawn from N(0, 0.01) with biases 0, the last, smaller batch kept (501
steps an epoch), fp32. It runs one process per GPU; eight of them, with 32 images each, over which batch norm takes its
statistics, are our reading. Settings for ViTs were not released: they have the same, with bicubic crops.

The official code prints the best epoch on the validation images; the figures here are the last epoch's.

Published, ResNet-50: top-1 71.7, top-5 91.0.
"""

import dataclasses

from twist_configs.classification import imagenet_1pct

_base_ = "imagenet_1pct.py"  # counts among the inputs of a trial

CONFIG = dataclasses.replace(imagenet_1pct.CONFIG, labels_fraction=0.1, lr_backbone=0.02)
