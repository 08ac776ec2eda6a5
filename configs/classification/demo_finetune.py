"""Fine-tuning on the embedded digits with few labels: 40 steps, one look at the 1,000 held-out digits.

    tools/transfer_cls.sh demo CKPT --mode finetune

The learning rates are the best of five pairs, both from TWIST and from random initialisation, on training digits
outside the labelled ones. The seed draws the labels, batches and shifts, the same for all weights.
"""

from transfer.classification.protocol import FinetuneProtocol

CONFIG = FinetuneProtocol(
    labels_per_class=5,
    epochs=20,
    batch_size=25,
    lr_backbone=0.002,
    lr_head=0.02,
    momentum=0.9,
    weight_decay=0.0,  # as ImageNet with 1 and 10 % of the labels
    warmup_steps=5,
    max_shift=2,
    test_batch_size=250,
)
