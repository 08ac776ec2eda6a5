"""Linear classification of the embedded digits by many SGD heads, as ImageNet's: all labels, shifts, two epochs.

    tools/transfer_cls.sh demo-heads CKPT

The official head's learning rate is ImageNet's, since its features are on the same scale. A tenth of the training
digits is withheld from the other heads; one of them is chosen on it.
"""

from transfer.tasks.classification.protocol import HeadSetting, HeadsProtocol, Views

CONFIG = HeadsProtocol(
    resnet=HeadSetting(feature="pooled", lr=0.2, weight_decay=0.0),
    deit_small=HeadSetting(feature="last 4 class tokens", lr=0.02, weight_decay=0.0),
    vit_base=HeadSetting(feature="last 4 class tokens", lr=0.0015, weight_decay=0.0),
    lrs=(0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    weight_decays=(0.0, 1e-4, 1e-3),
    val_fraction=0.1,
    epochs=2,
    batch_size=100,
    momentum=0.9,
    head_std=0.01,
    views=Views(augment="shift", size=28, resize=None, max_shift=2),  # no flips: digits are not symmetric
    test_batch_size=100,
)
