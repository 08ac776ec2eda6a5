"""Fine-tuning on ImageNet with all labels, or on your own images.

    tools/transfer_cls.sh imagenet-100pct CKPT
    tools/transfer_cls.sh folder-100pct CKPT --data DIR

All training images. Learning rates, epochs, batch and weight decay are the official README's; the rest is fixed by its
evaluate.py, as in imagenet_1pct.py (5,005 steps an epoch).

The official code prints the best epoch on the validation images; the figures here are the last epoch's.

Published, ResNet-50: top-1 78.4, top-5 94.6.
"""

import dataclasses

from twist_configs.classification import imagenet_1pct

_base_ = "imagenet_1pct.py"  # counts among the inputs of a trial

CONFIG = dataclasses.replace(imagenet_1pct.CONFIG, labels_fraction=1.0, epochs=30, lr_backbone=0.01)
