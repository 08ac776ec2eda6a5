"""TWIST's ResNet-50 with multi-crop."""

from pretrain.recipe import Crops, Data, Model, Recipe, SelfLabeling


def rn50() -> Recipe:
    """ResNet-50, 2 + 12 crops, ImageNet: 800 epochs of TWIST's loss, then 50 of self-labeling, at batch 2048.

    ``tools/pretrain.sh rn50 --data /path/to/imagenet``

    Designed for 16 GPUs with 128 images each, of 32 GB or more. Predicted: 914 A100-hours at 11 % of peak
    (``--plan``).

    Expect: published ImageNet linear accuracy is 75.5 top-1, 92.5 top-5 (75.0 with 300 epochs); 84.2 AP50 on VOC
    detection. Not measured here.
    """
    return Recipe(
        name="rn50",
        epochs=800,
        data=Data(dataset="imagenet", batch_size=16 * 128),
        crops=Crops(global_scale=(0.4, 1.0), num_local=12, local_scale=(0.05, 0.4)),
        model=Model(backbone="resnet50", num_classes=4096, bunch_size=256),
        self_labeling=SelfLabeling(epochs=50),
    )
