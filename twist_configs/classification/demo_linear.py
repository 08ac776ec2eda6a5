"""Linear classification of the embedded digits with few labels: what linear11 does, in seconds.

    tools/transfer_cls.sh demo CKPT --mode linear

Features of the frozen backbone in eval mode at the digits' own 28 pixels, without augmentation; l2 chosen on a fifth of
the labelled images; one look at the 1,000 held-out digits. The seed draws the labels, the same for all weights.
"""

from transfer.tasks.classification.protocol import LinearProtocol, log_grid

CONFIG = LinearProtocol(
    labels_per_class=10,  # 2.5 % of the labels: with all of them, random features come within a few points
    val_fraction=0.2,
    choose_by="loss",  # on twenty images the accuracies of most candidates are the same
    l2_grid=log_grid(-6, 5, 45),  # as linear11
    tolerance=1e-5,
    max_iter=5000,
    resize=None,
    crop=None,
    batch_size=250,
)
