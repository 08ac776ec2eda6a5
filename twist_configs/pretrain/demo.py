"""TWIST on the embedded digits, in about two minutes on two CPU cores."""

from pretrain.recipe import Augmentation, Crops, Data, Loss, Model, Optim, Recipe, Run, Schedule


def demo() -> Recipe:
    """ResNet-18 on 4,000 handwritten digits of 28 px, two views.

    ``tools/pretrain.sh demo --data data/digits/imagefolder``

    Expect: NMI of the head's argmax on held-out digits of 0.65 to 0.69.

    Two views only: a third one at 40 px (``crops.num_local=1 crops.local_size=40 crops.local_scale=0.5,1.4``) makes the
    head work at both sizes, but a step takes 2.7 times as long, and the demo has to end within minutes.
    """
    return Recipe(
        name="demo",
        epochs=7,
        data=Data(dataset="digits", batch_size=128, cache=True),
        crops=Crops(global_size=28, global_scale=(0.6, 1.0)),
        augmentation=Augmentation(kind="digits", rotation_degrees=15, intensity=0.4),
        model=Model(backbone="resnet18", hidden=512, num_classes=64),
        loss=Loss(),
        optim=Optim(name="adamw", lr=2e-3, weight_decay=0.05),
        schedule=Schedule(warmup_epochs=1),
        run=Run(num_workers=0, log_steps=10),
    )
