"""Fine-tuning on the eleven data sets with a cheap grid: 50,000 steps instead of the 1,140,000 of finetune11.py.

    tools/transfer_cls.sh dtd CKPT --mode finetune --grid cheap
    tools/transfer_cls.sh finetune11 CKPT --grid cheap

Three learning rates, each a factor of 10 apart within the full grid's range, with two weight decays, a quarter of the
steps at each point; the last training and all else are finetune11.py's. Its figures belong to another protocol than the
full grid's and never share a table with them.
"""

import dataclasses

from twist_configs.classification import finetune11

_base_ = "finetune11.py"  # counts among the inputs of a trial

CONFIG = dataclasses.replace(finetune11.CONFIG, lrs=(0.001, 0.01, 0.1), weight_decays=(0.0, 1e-05), grid_steps=5000)
