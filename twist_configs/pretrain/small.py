"""TWIST on a few thousand photographs of one's own."""

from pretrain.recipe import Crops, Data, Model, Optim, Recipe, Run, Schedule

SMALLEST_BATCH, LARGEST_BATCH = 32, 256
STEPS_PER_EPOCH = 8  # at least, where the smallest batch permits


def small(num_images: int = LARGEST_BATCH * STEPS_PER_EPOCH) -> Recipe:
    """ResNet-18 on unlabelled images, 2 + 4 crops of 128 and 64 px, on one GPU or a CPU.

    ``tools/pretrain.sh small --data /path/to/images``

    The batch is the largest power of two, from 32 to 256, of which an epoch has eight; NBS takes its statistics over
    the whole of it. The rest is the demo's, with the paper's augmentation of photographs. Our choice.

    Expect: nothing published, and not measured on photographs. A network that was trained on millions of images is the
    better start for most purposes; this is for images that are unlike those.

    Args:
        num_images: to train on.
    """
    batch_size = SMALLEST_BATCH
    while batch_size < LARGEST_BATCH and num_images >= 2 * batch_size * STEPS_PER_EPOCH:
        batch_size *= 2
    return Recipe(
        name="small",
        epochs=200,
        data=Data(dataset="images", batch_size=batch_size, unreadable="skip"),
        crops=Crops(global_size=128, num_local=4, local_size=64),
        model=Model(backbone="resnet18", hidden=1024, num_classes=128),
        optim=Optim(name="adamw", lr=2e-3, weight_decay=0.05),
        schedule=Schedule(warmup_epochs=10),
        run=Run(num_workers=2, checkpoint_epochs=5, log_steps=10),
    )
