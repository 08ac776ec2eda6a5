"""TWIST's ResNet-50 with multi-crop."""

from pretrain.recipe import Crops, Data, Model, Recipe


def rn50() -> Recipe:
    """ResNet-50, multi-crop, ImageNet: the first stage, 800 epochs at batch 2048 (the paper: 16 GPUs x 128).

    ``tools/pretrain.sh rn50 --data /path/to/imagenet``

    Expect: published ImageNet linear accuracy is 75.5 top-1 (75.0 after 300 epochs), which includes 50 epochs of
    self-labeling after this stage. Not measured here.
    """
    return Recipe(
        name="rn50",
        epochs=800,
        data=Data(dataset="imagenet", batch_size=16 * 128),
        crops=Crops(global_scale=(0.4, 1.0), num_local=12, local_scale=(0.05, 0.4)),
        model=Model(backbone="resnet50", num_classes=4096),
    )
