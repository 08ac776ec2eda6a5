"""DINOv2's linear depth probe against the same in plain float64: loss, steps, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from transfer import benchmarks
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import load_protocol
from transfer.tasks.segmentation.extensions import register_extensions
from transfer.weights.backbone.types import IMAGENET
from transfer.weights.convert.mmseg_any import settings
from twist_common.errors import UserError

ARCH, SIDE, WARMUP, NUM_STEPS = "test_vit", 64, 2, 4


class PlainProbe:
    """One matrix over the upsampled, concatenated maps; trained with AdamW under a limit of the gradient's norm."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.parameters = [each.detach().double().clone().requires_grad_() for each in (weight, bias)]
        self.moments = [(torch.zeros_like(each), torch.zeros_like(each)) for each in self.parameters]
        self.step = 0

    def depths(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 4 h, 4 w)."""
        large = functional.interpolate(maps, scale_factor=4, mode="bilinear", align_corners=False)
        weight, bias = self.parameters
        scores = torch.einsum("bchw,nc->bnhw", large, weight) + bias[None, :, None, None]
        parts = scores.clamp(min=0) + 0.1
        bins = 0.001 + torch.arange(256, dtype=torch.float64) * (10 - 0.001) / 255
        return (parts / parts.sum(1, keepdim=True) * bins[None, :, None, None]).sum(1)

    def loss(self, maps: Tensor, truth: Tensor) -> Tensor:
        depths = functional.interpolate(self.depths(maps)[:, None], size=(SIDE, SIDE), mode="bilinear")[:, 0]
        pairs = []
        for first in range(0, len(truth), 2):
            known = truth[first : first + 2] > 0
            found, wanted = depths[first : first + 2][known], truth[first : first + 2][known]
            difference = torch.log(found + 0.001) - torch.log(wanted + 0.001)
            variance = 0.0 if self.step < WARMUP else difference.var()
            pairs.append(torch.sqrt(variance + 0.15 * difference.mean() ** 2))
        return sum(pairs) / len(pairs)  # type: ignore[return-value]

    def train(self, maps: Tensor, truth: Tensor) -> float:
        """One step of AdamW (Loshchilov and Hutter 2019, algorithm 2); returns the loss before it."""
        loss = self.loss(maps, truth)
        gradients = torch.autograd.grad(loss, self.parameters)
        norm = sum((each**2).sum() for each in gradients) ** 0.5
        self.step += 1
        with torch.no_grad():
            for parameter, gradient, (first, second) in zip(self.parameters, gradients, self.moments, strict=True):
                gradient = gradient * min(1.0, 35 / (float(norm) + 1e-6))
                first.mul_(0.9).add_(gradient, alpha=0.1)
                second.mul_(0.999).add_(gradient**2, alpha=0.001)
                parameter *= 1 - 0.005 * 0.01
                unbiased = (first / (1 - 0.9**self.step), second / (1 - 0.999**self.step))
                parameter -= 0.005 * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
        return loss.item()


def plain_errors(depths: Any, truth: Any) -> dict[str, float]:
    """Of (N, 480, 640) metres, image by image, where Eigen compares them."""
    found: dict[str, list[float]] = {"rmse_cm": [], "abs_rel": [], "delta1": []}
    for ours, theirs in zip(depths[:, 45:471, 41:601], truth[:, 45:471, 41:601], strict=True):
        known = (theirs > 0.001) & (theirs < 10)
        if known.any():
            a, b = ours[known], theirs[known]
            found["rmse_cm"].append(100 * ((a - b) ** 2).mean() ** 0.5)
            found["abs_rel"].append(100 * (abs(a - b) / b).mean())
            found["delta1"].append(100 * (np.maximum(a / b, b / a) < 1.25).mean())
    return {name: float(np.mean(values)) for name, values in found.items()}


def probe(name: str) -> tuple[Any, Any]:
    """The model and its optimiser, with a short warm-up of the loss."""
    from mmengine.logging import MessageHub
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    config = load_protocol(benchmarks.get(name).config_path)
    config.model.data_preprocessor.size = config.model.test_cfg.crop_size = (SIDE, SIDE)
    config.model.decode_head.warmup_steps = WARMUP
    fit(config, ARCH, settings(ARCH, IMAGENET))
    register_extensions()
    torch.manual_seed(0)
    MessageHub.get_instance(f"depth-{name}")  # of which the head asks for the step
    with DefaultScope.overwrite_default_scope("mmseg"):
        model: Any = MODELS.build(config.model)
        model.init_weights()
        return model, build_optim_wrapper(model, config.optim_wrapper)


def maps_with_class_token(network: Any, images: Tensor) -> list[Tensor]:
    """After each quarter of timm's own blocks, before the last norm: patches and, at each of them, the class token."""
    mean, std = (torch.tensor(each).double().view(3, 1, 1) for each in (IMAGENET.mean, IMAGENET.std))
    tokens = network._pos_embed(network.patch_embed((((images.flip(1) / 255).double() - mean) / std).float()))
    tokens, found = network.norm_pre(tokens), []
    for block in network.blocks:
        tokens = block(tokens)
        both = torch.cat([tokens[:, 1:], tokens[:, :1].expand(-1, tokens.shape[1] - 1, -1)], dim=2)
        found.append(both.transpose(1, 2).unflatten(2, (SIDE // 16, SIDE // 16)).double())
    return [found[round(len(found) * quarter / 4) - 1] for quarter in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", ["nyu-depth-linear", "nyu-depth-linear4"])
def test_the_probes_loss_and_steps_are_those_of_a_plain_one_in_double_precision(name: str) -> None:
    from mmengine.logging import MessageHub
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    model, optimizer = probe(name)
    head = model.decode_head
    assert not any(each.requires_grad for each in model.backbone.parameters())
    assert len(head.convolutions) == (4 if name.endswith("4") else 1)
    weight = torch.cat([each.weight[:, :, 0, 0] for each in head.convolutions], dim=1)
    assert weight.abs().max() <= weight.shape[1] ** -0.5
    plain = PlainProbe(weight, head.convolutions[0].bias)
    images = torch.randint(0, 256, (4, 3, SIDE, SIDE), dtype=torch.uint8)
    truth = 0.5 + 9 * torch.rand(4, SIDE, SIDE)
    truth[:, :10] = 0.0
    with torch.no_grad():
        maps = torch.cat(maps_with_class_token(model.backbone.network, images)[-len(head.convolutions) :], dim=1)
    shapes = {"ori_shape": (SIDE, SIDE), "img_shape": (SIDE, SIDE)}
    samples = [SegDataSample(gt_depth_map=PixelData(data=each[None]), metainfo=shapes) for each in truth]
    hub = MessageHub.get_current_instance()
    for step in range(NUM_STEPS):
        hub.update_info("iter", step)
        logged = model.train().train_step({"inputs": list(images), "data_samples": samples}, optimizer)
        assert logged["loss"].item() == pytest.approx(plain.train(maps, truth.double()), rel=1e-4)
    ours = torch.cat([each.weight[:, :, 0, 0] for each in head.convolutions], dim=1)
    torch.testing.assert_close(ours.double(), plain.parameters[0].detach(), rtol=1e-3, atol=1e-4)

    odd = {"inputs": list(images[:3]), "data_samples": samples[:3]}
    with pytest.raises(UserError, match="over 2 images together, a GPU has 3 at a time"):
        model.train_step(odd, optimizer)

    with torch.no_grad():  # a test image and its mirrored copy, averaged
        mirrored = maps_with_class_token(model.backbone.network, images.flip(3))
        both = [maps, torch.cat(mirrored[-len(head.convolutions) :], dim=1)]
        sizes = [functional.interpolate(plain.depths(each)[:, None], (SIDE, SIDE), mode="bilinear") for each in both]
        wanted = (sizes[0] + sizes[1].flip(3)) / 2
        found = model.eval().test_step({"inputs": list(images), "data_samples": samples})
    for each, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(each.pred_depth_map.data.double(), expected, rtol=1e-3, atol=1e-3)


def test_errors_are_those_of_plain_ones_image_by_image_and_an_image_without_depths_counts_in_none() -> None:
    from transfer.tasks.segmentation.depth_scores import DepthErrors

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10_500, (3, 480, 640)) / 1000
    truth[2, 45:471] = 0.0
    depths = rng.uniform(0.001, 10, (3, 480, 640))
    metric = DepthErrors(min_depth_eval=0.001, max_depth_eval=10.0, crop_type="nyu_crop")
    samples = [
        {"pred_depth_map": {"data": torch.from_numpy(a).float()}, "gt_depth_map": {"data": torch.from_numpy(b).float()}}
        for a, b in zip(depths, truth, strict=True)
    ]
    metric.process({}, samples)
    assert metric.compute_metrics(metric.results) == pytest.approx(plain_errors(depths, truth), rel=1e-5)
    assert metric.outcomes().counts[2] == 0 and metric.outcomes().counts[0] > 200_000
