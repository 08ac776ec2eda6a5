"""TWIST's ViT-B with multi-crop and momentum encoder."""

import dataclasses

from pretrain.recipe import Data, Recipe
from twist_configs.pretrain.deit_s import deit_s


def vit_b() -> Recipe:
    """ViT-B/16, 2 + 10 crops, stochastic depth, else as ``deit_s``: ImageNet, 300 epochs at batch 1024.

    ``tools/pretrain.sh vit_b --data /path/to/imagenet``

    Designed for 32 GPUs with 32 images each, of 16 GB or more. Predicted: 613 A100-hours at 27 % of peak
    (``--plan``).

    Expect: published ImageNet linear accuracy is 78.4 top-1, 93.8 top-5. Not measured here.

    What the paper leaves open is as in ``deit_s``.
    """
    base = deit_s()
    return dataclasses.replace(
        base,
        name="vit_b",
        data=Data(dataset="imagenet", batch_size=32 * 32),
        crops=dataclasses.replace(base.crops, num_local=10),
        model=dataclasses.replace(base.model, backbone="vit_base", drop_path=0.1),
        optim=dataclasses.replace(base.optim, lr=7.5e-4, weight_decay_end=None),
    )
