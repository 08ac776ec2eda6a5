"""TWIST's ResNet-50 without multi-crop."""

import dataclasses

from pretrain.recipe import Crops, Data, Model, Recipe, SelfLabeling
from twist_configs.pretrain.rn50 import rn50


def rn50_nomc() -> Recipe:
    """ResNet-50, two views of 224 px, 32,768 classes, ImageNet, 800 epochs at batch 2048, no self-labeling.

    ``tools/pretrain.sh rn50_nomc --data /path/to/imagenet``

    Designed for 8 GPUs with 256 images each, of 32 GB or more. Predicted: 410 A100-hours at 11 % of peak
    (``--plan``).

    Expect: published ImageNet linear accuracy is 72.6 top-1, 91.0 top-5. Not measured here.
    """
    return dataclasses.replace(
        rn50(),
        name="rn50_nomc",
        data=Data(dataset="imagenet", batch_size=8 * 256),
        crops=Crops(global_scale=(0.08, 1.0), num_local=0),  # torchvision's default scale
        model=Model(backbone="resnet50", num_classes=32768, bunch_size=256),
        self_labeling=SelfLabeling(epochs=0),
    )
