"""Fine-tuning on ImageNet with 10 % of the labels, or on your own images.

    tools/transfer_cls.sh imagenet-10pct CKPT --labels 10percent.txt
    tools/transfer_cls.sh folder-10pct CKPT --data DIR

SimCLR's list of 128,116 images; of your own images the same part of every class, drawn by the seed. Learning rates,
epochs, batch and weight decay are the official README's. What it does not say is as in the usual evaluation (Barlow
Twins'): plain momentum, a cosine that is stepped once per epoch, a head drawn from N(0, 0.01), and eight processes with
32 images each, over which batch norm takes its statistics. Settings for ViTs were not released: they have the same.

Published, ResNet-50: top-1 71.7, top-5 91.0.
"""

import dataclasses

from configs.classification import imagenet_1pct

_base_ = "imagenet_1pct.py"  # counts among the inputs of a trial

CONFIG = dataclasses.replace(imagenet_1pct.CONFIG, labels_fraction=0.1, lr_backbone=0.02)
