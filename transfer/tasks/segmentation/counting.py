"""What an image costs in a segmentation protocol, counted on MMSegmentation's own model while it runs on one image."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from transfer.compat import prepare_mmseg
from transfer.rows import Benchmark
from transfer.tasks.count import flop_of
from transfer.tasks.segmentation.config import load_protocol
from transfer.work import ModelCost

NUM_IMAGES = 2  # batch norms refuse one value


def count(benchmark: Benchmark) -> ModelCost:
    """Trains one step at the protocol's crop and tests images of 4:3 at its scale, on CPU; seconds to a minute."""
    prepare_mmseg()
    from mmengine.registry import DefaultScope
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    from transfer.tasks.segmentation.extensions import register_extensions
    from transfer.tasks.segmentation.runner import replace_sync_bn

    register_extensions()
    config = load_protocol(benchmark.config_path)
    replace_sync_bn(config.model)
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(config.model)
    height, width = config.model.data_preprocessor.size
    truth = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, height, width, dtype=torch.long)))
    with FlopCounterMode(display=False) as counter:
        losses = model.train()(torch.rand(NUM_IMAGES, 3, height, width), [truth] * NUM_IMAGES, mode="loss")
        sum(value for name, value in losses.items() if "loss" in name).backward()
    train = flop_of(counter, NUM_IMAGES)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        size = _test_size(config)
        model.eval().inference(torch.rand(1, 3, *size), [{"ori_shape": size, "img_shape": size}])  # in all its windows
    return ModelCost(
        train=train,
        test=flop_of(counter),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
    )


def _test_size(config: Any) -> tuple[int, int]:
    """Height and width of an image of the data set's shape in the scale of the test pipeline, or the training size."""
    size: tuple[int, int] = tuple(config.model.data_preprocessor.size)
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == "Resize":
            long_edge, short_edge = max(step.scale), min(step.scale)
            shape = 2 if "Cityscapes" in config.test_dataloader.dataset.type else 4 / 3
            size = (short_edge, min(long_edge, round(short_edge * shape)))
    return size
