"""Fine-tuning on the embedded digits with 1 % of the labels: 40 images, four of each digit; one look at the test.

    tools/transfer_cls.sh demo-1pct CKPT

The learning rates are the best of three pairs, (0.001, 0.05), (0.002, 0.02) and (0.005, 0.05), both from TWIST and from
random initialisation, on 800 training digits that were not trained on, with the seeds 100 and 101. The seed of a trial
draws the labelled images, their order and their shifts, the same for all weights.
"""

from transfer.tasks.classification.protocol import FinetuneProtocol, Views

CONFIG = FinetuneProtocol(
    labels_fraction=0.01,
    epochs=20,
    batch_size=20,
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
