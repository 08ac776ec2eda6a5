"""Fine-tuning on the embedded digits with 10 % of the labels: 400 images; one look at the held-out digits.

    tools/transfer_cls.sh demo-10pct CKPT

The learning rates are the better of two pairs, (0.002, 0.02) and (0.005, 0.05), both from TWIST and from random
initialisation, on 800 training digits that were not trained on, with the seeds 100 and 101: 94.9 and 86.7 on average.
Four epochs, because pre-training shows where there is little training (after eight, 95.5 and 92.1 with the seed 100).
The seed of a trial draws the labelled images, their order and their shifts, the same for all weights.
"""

from transfer.classification.sgd_protocols import FinetuneProtocol, Views

CONFIG = FinetuneProtocol(
    labels_fraction=0.1,
    epochs=4,
    batch_size=25,
    lr_backbone=0.002,
    lr_head=0.02,
    cosine="step",
    warmup_steps=5,
    momentum=0.9,
    nesterov=True,
    weight_decay=0.0,  # as ImageNet's
    norm_batch=None,
    head_std=0.0,
    views=Views(augment="shift", size=28, resize=None, max_shift=2),  # no flips: digits are not symmetric
    test_batch_size=100,
)
