"""Images of noise with two objects: enough for a detector's training step and its test."""

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


def assert_takes_a_step(cfg: Any, model: Any) -> None:
    """Trains one step on two scenes; all losses are there and finite."""
    from transfer.tasks.detection.optimizer import build_optimizer
    from transfer.tasks.detection.trainer import make_trainer

    trainer = make_trainer(cfg, model, build_optimizer(cfg, model), [[scene(cfg, 1), scene(cfg, 2)]])
    trainer.train(0, 1)  # raises if the loss is not finite
    losses = {key: value for key, (value, _) in trainer.storage.latest().items() if key.startswith("loss_")}
    expected = {"loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"}
    assert losses.keys() == expected | ({"loss_mask"} if cfg.MODEL.MASK_ON else set())
    assert all(np.isfinite(value) for value in losses.values())


def assert_detects(cfg: Any, model: Any) -> None:
    """Detects in a third scene; boxes are finite, and there are masks where the config says so."""
    model.eval()
    with torch.no_grad():
        found = model([{"image": scene(cfg, 3)["image"], "height": SIZE, "width": SIZE}])[0]["instances"]
    assert torch.isfinite(found.pred_boxes.tensor).all() and found.has("pred_masks") == cfg.MODEL.MASK_ON
