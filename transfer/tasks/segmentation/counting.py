"""What an image costs in a segmentation protocol, counted on MMSegmentation's own model while it runs on one image."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from transfer.compat import prepare_mmseg
from transfer.rows import Benchmark
from transfer.tasks.count import flop_of
from transfer.tasks.network_cost import Maps
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import load_protocol
from transfer.tasks.segmentation.work import test_size
from transfer.weights.backbone.types import IMAGENET
from transfer.weights.convert.mmseg_any import settings
from transfer.work import ModelCost

NUM_IMAGES = 2  # batch norms refuse one value


def count(benchmark: Benchmark, arch: str | None = None) -> ModelCost:
    """Trains one step at the protocol's crop and tests images of 4:3 at its scale, on CPU; seconds to a minute.

    Args:
        arch: a network for a protocol that takes any; it is left out of what is counted.
    """
    prepare_mmseg()
    from mmengine.registry import DefaultScope
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    from transfer.tasks.segmentation.extensions import register_extensions
    from transfer.tasks.segmentation.runner import replace_sync_bn

    register_extensions()
    config = load_protocol(benchmark.config_path)
    if arch is not None:
        fit(config, arch, settings(arch, IMAGENET))
    replace_sync_bn(config.model)
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(config.model)
    if arch is not None:
        model.backbone.network = Maps(arch, is_trained=not model.backbone.frozen)
    height, width = config.model.data_preprocessor.size
    truth = SegDataSample(
        gt_sem_seg=PixelData(data=torch.zeros(1, height, width, dtype=torch.long)),
        gt_depth_map=PixelData(data=torch.ones(1, height, width)),
    )
    with FlopCounterMode(display=False) as counter:
        losses = model.train()(torch.rand(NUM_IMAGES, 3, height, width), [truth] * NUM_IMAGES, mode="loss")
        sum(value for name, value in losses.items() if "loss" in name).backward()
    train = flop_of(counter, NUM_IMAGES)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        size = test_size(config)
        model.eval().inference(torch.rand(1, 3, *size), [{"ori_shape": size, "img_shape": size}])  # in all its windows
    return ModelCost(
        train=train,
        test=flop_of(counter),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
    )
