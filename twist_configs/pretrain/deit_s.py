"""TWIST's DeiT-S with multi-crop and momentum encoder."""

from pretrain.recipe import Crops, Data, Loss, Model, Momentum, Optim, Recipe


def deit_s() -> Recipe:
    """DeiT-S/16, 2 + 6 crops, ImageNet, 300 epochs at batch 1024 with a momentum encoder.

    ``tools/pretrain.sh deit_s --data /path/to/imagenet``

    Designed for 16 GPUs with 64 images each, of 16 GB or more. Predicted: 205 A100-hours at 17 % of peak
    (``--plan``).

    Expect: published ImageNet linear accuracy is 76.3 top-1, 92.7 top-5. Not measured here.

    Not in the paper's settings, and taken from the official command or its defaults: bunches of 256, warm-up of 10
    epochs, the ResNets' crop scales. It trains without momentum encoder too (``--no-momentum-encoder``), but the
    paper needs one for its best results.
    """
    return Recipe(
        name="deit_s",
        epochs=300,
        data=Data(dataset="imagenet", batch_size=16 * 64),
        crops=Crops(global_scale=(0.4, 1.0), num_local=6, local_scale=(0.05, 0.4)),
        model=Model(backbone="deit_small", num_classes=4096, activation="gelu", bunch_size=256),
        loss=Loss(alpha=0.4),
        momentum_encoder=Momentum(enabled=True, start=0.996, end=1.0),
        optim=Optim(name="adamw", lr=3e-4, weight_decay=0.06, weight_decay_end=0.12, clip_norm=3.0),
    )
