"""How a trial's batch comes about on the GPUs that there are."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode

from transfer.protocol_lock import accumulation
from transfer.tasks.detection.vit import is_vit

GIB = 2**30
ALL_STAGES = 5  # FREEZE_AT that leaves nothing of a ResNet to train

# An image of 800 x 1333 pixels in single precision, R50 or ViT-B: counted from the activations that the backward pass
# keeps and rounded up, not measured. Too high a figure costs time on small GPUs, too low a figure a failed trial.
IMAGE_BYTES = {"FPN": 4 * GIB, "C4": 6 * GIB, "ViT": 6 * GIB, "frozen": 2 * GIB}


def parts_of_batch(cfg: CfgNode, num_processes: int) -> int:
    """Into how many parts each GPU's share of the batch is divided; 1 on CPU, whose protocols are small.

    Raises:
        UserError: not even one image fits into the GPU's memory.
    """
    if cfg.MODEL.DEVICE == "cpu":
        return 1
    return accumulation(
        cfg.SOLVER.IMS_PER_BATCH,
        num_devices=num_processes,
        device_bytes=torch.cuda.get_device_properties(0).total_memory,
        image_bytes=IMAGE_BYTES[_kind(cfg)],
    )


def _kind(cfg: CfgNode) -> str:
    if is_vit(cfg):
        return "ViT"
    if cfg.MODEL.BACKBONE.FREEZE_AT >= ALL_STAGES:
        return "frozen"
    return "C4" if "res4" in cfg.MODEL.ROI_HEADS.IN_FEATURES else "FPN"
