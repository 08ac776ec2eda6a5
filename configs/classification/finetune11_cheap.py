"""Fine-tuning on the eleven data sets with a cheap grid: 50,000 steps instead of the 1,140,000 of finetune11.py.

    tools/transfer_cls.sh dtd CKPT --mode finetune --grid cheap
    tools/transfer_cls.sh finetune11 CKPT --grid cheap

Three learning rates, each a factor of 10 apart within the full grid's range, with two weight decays, a quarter of the
steps at each point; the last training and all else are finetune11.py's. Figures are of another protocol than the full
grid's, and are never tabled together.
"""

from transfer.classification.sgd_protocols import GridProtocol, Views

CONFIG = GridProtocol(
    lrs=(0.001, 0.01, 0.1),
    weight_decays=(0.0, 1e-5),
    val_fraction=None,
    grid_steps=5_000,
    steps=20_000,
    batch_size=256,
    momentum=0.9,
    head_std=0.01,
    views=Views(augment="crop and flip", size=224, resize=256),
    test_batch_size=256,
)
