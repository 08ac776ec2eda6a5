"""Fine-tuning on the embedded digits with few labels.

tools/transfer_cls.sh demo CKPT --mode finetune
"""

from transfer.classification.protocol import FinetuneProtocol

CONFIG = FinetuneProtocol(
    labels_per_class=10,
    epochs=20,
    batch_size=50,
    lr_backbone=0.01,
    lr_head=0.1,
    momentum=0.9,
    weight_decay=0.0,
    warmup_steps=5,
    max_shift=2,
    test_batch_size=250,
)
