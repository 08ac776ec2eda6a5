"""DINOv2's linear probe in MMSegmentation against the same in plain float64: loss, gradients, steps, and mIoU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from transfer import benchmarks
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import load_protocol
from transfer.tasks.segmentation.extensions import register_extensions
from transfer.tasks.segmentation.runner import replace_sync_bn
from transfer.weights.backbone.types import IMAGENET
from transfer.weights.convert.mmseg_any import settings

ARCH, SIDE, NUM_STEPS = "test_vit", 64, 3
IGNORED, BN_EPSILON, BN_MOMENTUM = 255, 1e-5, 0.1


class PlainProbe:
    """Batch norm over the concatenated maps, a matrix for each pixel, and bilinear upsampling; trained with AdamW."""

    def __init__(self, weight: Tensor, bias: Tensor, *, rate: float, decay: float) -> None:
        channels = weight.shape[1]
        self.weight, self.bias = (nn.Parameter(each.detach().double().clone()) for each in (weight, bias))
        self.scale, self.shift = (
            nn.Parameter(torch.ones(channels).double()),
            nn.Parameter(torch.zeros(channels).double()),
        )
        self.mean, self.variance = torch.zeros(channels).double(), torch.ones(channels).double()
        self.rate, self.decay, self.step = rate, decay, 0
        self.parameters = [self.weight, self.bias, self.scale, self.shift]
        self.moments = [(torch.zeros_like(each), torch.zeros_like(each)) for each in self.parameters]

    def scores(self, maps: Tensor, *, trains: bool) -> Tensor:
        """(B, C, h, w) to (B, classes, SIDE, SIDE)."""
        pixels = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
        if trains:
            mean, variance = pixels.mean(0), pixels.var(0, unbiased=False)
            unbiased = pixels.var(0, unbiased=True)
            self.mean = (1 - BN_MOMENTUM) * self.mean + BN_MOMENTUM * mean
            self.variance = (1 - BN_MOMENTUM) * self.variance + BN_MOMENTUM * unbiased
        else:
            mean, variance = self.mean, self.variance
        normalised = (pixels - mean) / (variance + BN_EPSILON).sqrt() * self.scale + self.shift
        scores = (normalised @ self.weight.T + self.bias).unflatten(0, (len(maps), *maps.shape[-2:]))
        return functional.interpolate(scores.permute(0, 3, 1, 2), size=(SIDE, SIDE), mode="bilinear")

    def train(self, maps: Tensor, masks: Tensor) -> float:
        """One step of AdamW (Loshchilov and Hutter 2019, algorithm 2); returns the loss before it."""
        log_probabilities = self.scores(maps, trains=True).log_softmax(1)
        known = masks != IGNORED
        picked = log_probabilities.gather(1, torch.where(known, masks, 0)[:, None])[:, 0]
        loss = -(picked * known).sum() / masks.numel()  # MMSegmentation's mean is over ignored pixels too
        gradients = torch.autograd.grad(loss, self.parameters)
        self.step += 1
        with torch.no_grad():
            for parameter, gradient, (first, second) in zip(self.parameters, gradients, self.moments, strict=True):
                first.mul_(0.9).add_(gradient, alpha=0.1)
                second.mul_(0.999).add_(gradient**2, alpha=0.001)
                parameter *= 1 - self.rate * self.decay
                unbiased = (first / (1 - 0.9**self.step), second / (1 - 0.999**self.step))
                parameter -= self.rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
        return loss.item()


def plain_miou(predicted: Tensor, masks: Tensor) -> float:
    """In percent, over the classes that the masks have."""
    known, ious = masks != IGNORED, []
    for label in masks[known].unique():
        found, wanted = (predicted == label) & known, masks == label
        ious.append((found & wanted).sum().item() / (found | wanted).sum().item())
    return 100 * sum(ious) / len(ious)


@pytest.mark.parametrize("name", ["seg-ade20k-linear", "seg-ade20k-linear4"])
def test_the_probes_loss_steps_and_miou_are_those_of_a_plain_one_in_double_precision(name: str) -> None:
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope
    from mmengine.structures import PixelData
    from mmseg.evaluation import IoUMetric
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    config = load_protocol(benchmarks.get(name).config_path)
    config.model.data_preprocessor.size = (SIDE, SIDE)
    config.model.decode_head.num_classes = num_classes = 5
    config.model.test_cfg = {"mode": "whole"}
    fit(config, ARCH, settings(ARCH, IMAGENET))
    replace_sync_bn(config.model)
    register_extensions()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmseg"):
        model: Any = MODELS.build(config.model)
        model.init_weights()
        optimizer = build_optim_wrapper(model, config.optim_wrapper)
    head = model.decode_head
    assert [each.requires_grad for each in model.backbone.parameters()] == [False] * len(
        list(model.backbone.parameters())
    )

    num_maps = len(config.model.decode_head.in_index)
    assert num_maps == (4 if name.endswith("4") else 1)
    weight = torch.cat([classifier.weight[:, :, 0, 0] for classifier in head.classifiers], dim=1)
    plain = PlainProbe(weight, head.classifiers[0].bias, rate=1e-3, decay=1e-4)
    images = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    masks = torch.randint(0, num_classes, (2, SIDE // 8, SIDE // 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    masks[:, :10] = IGNORED
    mean, std = (torch.tensor(each).double().view(3, 1, 1) for each in (IMAGENET.mean, IMAGENET.std))
    network = model.backbone.network
    with torch.no_grad():  # the maps, from timm's own blocks one after the other
        tokens = network._pos_embed(network.patch_embed((((images.flip(1) / 255).double() - mean) / std).float()))
        tokens, maps = network.norm_pre(tokens), []
        for block in network.blocks:
            tokens = block(tokens)
            maps.append(network.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, (SIDE // 16, SIDE // 16)).double())
    concatenated = torch.cat(maps[-num_maps:], dim=1)

    shapes = {"ori_shape": (SIDE, SIDE), "img_shape": (SIDE, SIDE)}
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask[None]), metainfo=shapes) for mask in masks]
    for _ in range(NUM_STEPS):
        logged = model.train().train_step({"inputs": list(images), "data_samples": samples}, optimizer)
        assert logged["loss"].item() == pytest.approx(plain.train(concatenated, masks), rel=1e-5)
    for ours, theirs in zip(
        head.classifiers, plain.weight.split([len(each.weight[0]) for each in head.classifiers], 1), strict=True
    ):
        torch.testing.assert_close(ours.weight[:, :, 0, 0].double(), theirs.detach(), rtol=1e-4, atol=1e-5)

    metric = IoUMetric(ignore_index=IGNORED)
    metric.dataset_meta = {"classes": tuple(map(str, range(num_classes)))}
    with torch.no_grad():
        results = model.eval().test_step({"inputs": list(images), "data_samples": samples})
        scores = plain.scores(concatenated, trains=False)
    metric.process({}, [result.to_dict() for result in results])
    assert metric.evaluate(2)["mIoU"] == pytest.approx(plain_miou(scores.argmax(1), masks), abs=0.01)  # it rounds
