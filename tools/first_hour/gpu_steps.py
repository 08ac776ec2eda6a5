"""Steps on a GPU: how fast they are, in which layouts, and what they take of its memory."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

import twist_configs.pretrain
from pretrain import planner
from pretrain.distributed import Process
from pretrain.model.twist_model import build_model
from pretrain.recipe import Recipe
from pretrain.run.optim import build_optimizer
from pretrain.run.step import TrainStep
from tools.first_hour.site import CheckError, Site, SkippedError
from transfer.weights.backbone.network import build_network
from twist_common.gpu_kinds import A100

BATCH_SIZE = 64
WARM_UP, STEPS = 2, 5
GIB = 2**30
MEMORY_SHARES = (0.5, 1.15)  # of the plan, between which a step is about what was planned
SLOWEST_CHOICE = 0.9  # of the speed without channels last and cudnn.benchmark


def images_per_second(recipe: Recipe, device: torch.device) -> float:
    """Images per second of training steps without loading, after two warm-up steps."""
    small, process = _small(recipe), Process(device)
    model = build_model(small, process)
    step = TrainStep(small, model, None, build_optimizer(small.optim, model), process, steps_per_epoch=100)
    views = [torch.randn(BATCH_SIZE, 3, size, size, device=device) for size in small.crops.view_sizes]
    return _timed(lambda number: step([views], number), device)


def _small(recipe: Recipe) -> Recipe:
    """The recipe with a batch for one GPU."""
    data, network = replace(recipe.data, batch_size=BATCH_SIZE), replace(recipe.model, bunch_size=None)
    return replace(recipe, data=data, model=network)


def _timed(step: Callable[[int], object], device: torch.device) -> float:
    """Images per second of steps that are given their number."""
    start = math.inf
    for number in range(WARM_UP + STEPS):
        if number == WARM_UP:
            torch.cuda.synchronize(device)
            start = time.monotonic()
        step(number)
    torch.cuda.synchronize(device)
    return BATCH_SIZE * STEPS / (time.monotonic() - start)


def memory(site: Site) -> str:
    """A step of rn50 uses about as much memory as planned."""
    if site.device == "cpu":
        raise SkippedError("plans are for GPUs")
    recipe, device = twist_configs.pretrain.get("rn50"), site.torch_device
    torch.cuda.reset_peak_memory_stats(device)
    images_per_second(recipe, device)
    peak = torch.cuda.max_memory_allocated(device) / GIB
    plan = planner.plan(_small(recipe), gpu=A100, num_gpus=1).memory  # the same on all kinds
    planned = (plan.total - plan.overhead) / GIB
    found = f"{peak:.1f} GiB for {BATCH_SIZE} images, the plan is {planned:.1f}"
    least, most = MEMORY_SHARES
    if not least * planned <= peak <= most * planned:
        raise CheckError(found)
    return found


def layouts(site: Site) -> str:
    """In bf16, channels last with cudnn.benchmark is not slower than row-major."""
    if site.device == "cpu":
        raise SkippedError("there is no cuDNN on CPUs")
    rates = {}
    for precision in ("bf16", "fp32"):
        for name, is_last, is_tuned in (
            ("row-major", False, False),
            ("channels last", True, False),
            ("row-major and cudnn.benchmark", False, True),
            ("channels last and cudnn.benchmark", True, True),
        ):
            rates[f"{precision} {name}"] = pass_speed(
                site.torch_device, is_half=precision == "bf16", is_last=is_last, is_tuned=is_tuned
            )
    found = "images/s of a ResNet-50: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    if rates["bf16 channels last and cudnn.benchmark"] < SLOWEST_CHOICE * rates["bf16 row-major"]:
        raise CheckError(found)
    return found


def pass_speed(device: torch.device, *, is_half: bool, is_last: bool, is_tuned: bool, size: int = 224) -> float:
    """Images per second of a ResNet-50's passes, forward and backward.

    Args:
        is_half: in bf16 by autocast; else in fp32 as torch computes convolutions, with TF32 where a GPU has it.
        is_last: channels last, weights and images.
        is_tuned: with ``cudnn.benchmark``.
    """
    layout = torch.channels_last if is_last else torch.contiguous_format
    network = build_network("resnet50").to(device).to(memory_format=layout)
    images = torch.randn(BATCH_SIZE, 3, size, size, device=device).to(memory_format=layout)

    def step(number: int) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
            features = network(images)
        features.float().sum().backward()

    with _benchmark(is_tuned):
        return _timed(step, device)


@contextlib.contextmanager
def _benchmark(is_on: bool) -> Iterator[None]:
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, is_on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
