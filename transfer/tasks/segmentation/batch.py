"""How a trial's batch comes about on the GPUs that there are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from transfer.protocol_lock import accumulation

if TYPE_CHECKING:
    from mmengine.config import Config

ALL_STAGES = 4  # frozen_stages that leaves nothing of a ResNet to train

# A pixel of the crop in single precision, counted from what autograd keeps for the backward pass: 2,154 for R50 and
# 5,340 for ViT-B at crop 512, 220 for the linear head on a frozen R50 at crop 256. Rounded up for what is there for a
# moment (gradients of maps, workspaces) and for the optimizer's state; the sums have not been held against a GPU. Too
# high a figure costs time on small GPUs, too low a figure a failed trial.
PIXEL_BYTES = {"ResNet": 4096, "VisionTransformer": 8192, "frozen": 1024}


def parts_of_batch(config: Config, *, device: str, num_processes: int) -> int:
    """Into how many parts each GPU's share of the batch is divided; 1 on CPU, whose protocols are small.

    Raises:
        UserError: not even one image fits into the GPU's memory.
    """
    if device == "cpu":
        return 1
    return accumulation(
        config.train_dataloader.batch_size,
        num_devices=num_processes,
        device_bytes=torch.cuda.get_device_properties(0).total_memory,
        image_bytes=image_bytes(config),
    )


def image_bytes(config: Config) -> int:
    """What training takes for one image of the config's crop, about."""
    backbone = config.model.backbone
    frozen = backbone.get("frozen_stages", -1) >= ALL_STAGES
    return PIXEL_BYTES["frozen" if frozen else backbone.type] * math.prod(config.model.data_preprocessor.size)
