"""Fine-tuning on the embedded digits with 10 % of the labels: 400 images; one look at the held-out digits.

    tools/transfer_cls.sh demo-10pct CKPT

The learning rates are the better of two pairs, (0.002, 0.02) and (0.005, 0.05), both from TWIST and from random
initialisation, on 800 training digits that were not trained on, with the seeds 100 and 101: 94.9 and 86.7 on average.
Four epochs, because pre-training shows where there is little training (after eight, 95.5 and 92.1 with the seed 100).
The seed of a trial draws the labelled images, their order and their shifts, the same for all weights.
"""

import dataclasses

from twist_configs.classification import demo_1pct

_base_ = "demo_1pct.py"  # counts among the inputs of a trial

CONFIG = dataclasses.replace(demo_1pct.CONFIG, labels_fraction=0.1, epochs=4, batch_size=25)
