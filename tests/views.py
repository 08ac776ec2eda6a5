"""The photograph and the noise that tests of the augmentation share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretrain.recipe import Crops
from tools.bench.photographs import photograph

Array = NDArray[Any]
PHOTOGRAPH = photograph(0, 150, 200)
NOISE = np.random.default_rng(0).integers(0, 256, PHOTOGRAPH.shape).astype(np.uint8)  # the hardest image
IMAGES = {"photograph": PHOTOGRAPH, "noise": NOISE}
CROPS = Crops(global_size=64, global_scale=(0.4, 1.0), num_local=2, local_size=32, local_scale=(0.05, 0.4))
