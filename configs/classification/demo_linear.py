"""Linear classification of the embedded digits with few labels, as ResNets are probed after SimCLR.

    tools/transfer_cls.sh demo CKPT --mode linear

Features of the frozen backbone in eval mode at the digits' own 28 pixels, without augmentation; l2 chosen on a fifth of
the labelled images; one look at the 1,000 held-out digits. The seed draws the labels, the same for all weights.
"""

from transfer.classification.protocol import LinearProtocol

CONFIG = LinearProtocol(
    labels_per_class=10,  # 2.5 % of the labels: with all of them, random features come within a few points
    val_fraction=0.2,
    l2_grid=(
        1e-6,
        1e-5,
        1e-4,
        1e-3,
        1e-2,
        1e-1,
        1e0,
        1e1,
        1e2,
        1e3,
        1e4,
        1e5,
    ),  # SimCLR's range, a quarter of its steps
    max_iter=200,
    batch_size=250,
)
