"""What an image costs in a detection protocol, counted on Detectron2's own model while it runs on one image."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from transfer.rows import Benchmark
from transfer.tasks.count import flop_of
from transfer.tasks.detection.config import protocol_config
from transfer.tasks.detection.model import seeded_model
from transfer.tasks.network_cost import Maps
from transfer.work import ModelCost

NUM_OBJECTS = 8  # COCO has 7.3 in an image, VOC 2.4; a quarter of the sampled regions are objects at most


def count(benchmark: Benchmark, arch: str | None = None) -> ModelCost:
    """Trains one step and tests one image of 4:3 at the protocol's mean size, on CPU; seconds to a minute.

    Args:
        arch: a network for a protocol that takes any; it is left out of what is counted.
    """
    cfg = protocol_config(benchmark.config_path, device="cpu")
    if arch is not None:
        cfg.MODEL.NETWORK.ARCH = arch
    cfg.freeze()
    model = seeded_model(cfg, 0)
    if arch is not None:
        bottom_up = model.get_submodule("backbone.bottom_up")
        bottom_up.network = Maps(arch, is_trained=not bottom_up.frozen)
    sizes = cfg.INPUT.MIN_SIZE_TRAIN
    with EventStorage(), FlopCounterMode(display=False) as counter:
        losses = model.train()([_training_image(cfg, round(sum(sizes) / len(sizes)))])
        sum(losses.values()).backward()
    train = flop_of(counter)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()([{"image": _image(cfg.INPUT.MIN_SIZE_TEST)}])
    num_trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    return ModelCost(train=train, test=flop_of(counter), num_parameters=num_parameters, num_trained=num_trained)


def _image(height: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, round(height * 4 / 3)), generator=generator).float()


def _training_image(cfg: CfgNode, height: int) -> dict[str, Any]:
    image = _image(height)
    size = (image.shape[1], image.shape[2])
    corner = torch.arange(NUM_OBJECTS) * height / (2 * NUM_OBJECTS)
    objects = Instances(size)
    objects.gt_boxes = Boxes(torch.stack([corner, corner, corner + height / 3, corner + height / 3], dim=1))
    objects.gt_classes = torch.zeros(NUM_OBJECTS, dtype=torch.long)
    if cfg.MODEL.MASK_ON:
        objects.gt_masks = BitMasks(torch.ones(NUM_OBJECTS, *size))
    return {"image": image, "instances": objects}
