"""One image of noise with two objects: enough for a detector's training step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

SIZE = 64


def scene(cfg: Any, seed: int) -> dict[str, object]:
    """A small image with two objects, as the mapper gives it to the model.

    Args:
        cfg: of the detector; masks become bitmasks in it.
    """
    from detectron2.structures import BitMasks, Boxes, Instances

    random = np.random.default_rng(seed)
    instances = Instances((SIZE, SIZE))
    instances.gt_boxes = Boxes(torch.tensor([[4.0, 4.0, 36.0, 40.0], [30.0, 20.0, 60.0, 60.0]]))
    instances.gt_classes = torch.tensor([0, cfg.MODEL.ROI_HEADS.NUM_CLASSES - 1])
    if cfg.MODEL.MASK_ON:
        cfg.INPUT.MASK_FORMAT = "bitmask"
        masks = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
        masks[0, 4:40, 4:36] = masks[1, 20:60, 30:60] = True
        instances.gt_masks = BitMasks(masks)
    image = torch.from_numpy(random.integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8))
    return {"image": image, "height": SIZE, "width": SIZE, "instances": instances}
