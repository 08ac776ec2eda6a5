"""Segmentation's training and test on fake tensors: the task's own Runner, with MMSegmentation's model.

Every mask that selects pixels is true, as :class:`tests.devices.watch.Invention` says.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import runner as mmengine_runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from tests.devices.fake_cuda import fake_cuda
from tests.devices.steps import Seen
from tests.devices.watch import Watch, layout
from transfer import benchmarks
from transfer.tasks.segmentation import runner as runner_module
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import load_protocol
from transfer.tasks.segmentation.depth_scores import DepthErrors
from transfer.tasks.segmentation.extensions import ExistingClassesIoU
from transfer.tasks.segmentation.hooks import VerifyBackbone
from transfer.weights.backbone import IMAGENET
from transfer.weights.convert import mmseg_any

NUM_STEPS = 2  # of each kind; the first is counted: the last of training is logged
SHARE, SIZE = 2, 160  # images of one process, and their sides: more bytes than CUDA stages


def work(name: str, *, arch: str = "", num_processes: int = 1, parts: int = 1, fault: str | None = None) -> Seen:
    """Trains, and tests where there is one process.

    Args:
        name: of the benchmark.
        arch: the network, where the protocol takes any.
        parts: of each process's batch.
        fault: a key of :data:`FAULTS`.
    """
    seen = Seen()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        job = _job(name, arch, num_processes, parts, folder)
        watch = stack.enter_context(fake_cuda(num_processes))
        for owner, attribute, value in _replaced(watch, seen):
            stack.enter_context(mock.patch.object(owner, attribute, value))
        stack.enter_context(mock.patch.dict(os.environ, LOCAL_RANK="0"))
        runner = runner_module.build_runner(job, lambda *args: None)
        if fault:
            stack.enter_context(FAULTS[fault](runner.model))
        stack.enter_context(watch)
        runner.train()
        assert runner.optim_wrapper.optimizer.defaults["fused"], "an optimiser of many kernels"
        if num_processes == 1:
            runner.test()
    return seen


def _job(name: str, arch: str, num_processes: int, parts: int, folder: Path) -> runner_module.SegmentationJob:
    config = load_protocol(benchmarks.get(name).config_path)
    if arch:
        fit(config, arch, mmseg_any.settings(arch, IMAGENET))
    config.train_cfg.max_iters = NUM_STEPS
    config.train_dataloader.batch_size = SHARE * num_processes
    config.model.data_preprocessor.size = (SIZE, SIZE)
    config.default_hooks.checkpoint = None
    return runner_module.SegmentationJob(
        config=config,
        weights=folder,
        checkpoint=None,
        name="fake",
        seed=0,
        device="cuda",
        work_dir=folder,
        parts=parts,
    )


def _replaced(watch: Watch, seen: Seen) -> list[tuple[Any, str, Any]]:
    """What is not computed: data, weights, figures; and what notes losses and gradients."""
    parse_losses, step = BaseModel.parse_losses, OptimWrapper.step

    def parse(model: BaseModel, losses: dict[str, Tensor]) -> Any:
        seen.dtypes |= {str(loss.dtype).removeprefix("torch.") for loss in losses.values()}
        return parse_losses(model, losses)

    def take_step(wrapper: OptimWrapper, **kwargs: Any) -> None:
        for group in wrapper.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad and parameter.grad is None:
                    seen.without_gradient.append(str(tuple(parameter.shape)))
                elif parameter.grad is not None and layout(parameter.grad) != layout(parameter):
                    seen.moved.append(str(tuple(parameter.shape)))
        step(wrapper, **kwargs)

    return [
        (mmengine_runner, "collect_env", dict),
        (runner_module.TrialRunner, "build_dataloader", lambda runner, *args, **kwargs: Loader(watch, seen, runner)),
        (runner_module.TrialRunner, "_init_model_weights", lambda runner: None),
        (VerifyBackbone, "verify", lambda hook, backbone: None),
        (ExistingClassesIoU, "compute_metrics", lambda metric, results: {}),
        (DepthErrors, "compute_metrics", lambda metric, results: {}),
        (BaseModel, "parse_losses", parse),
        (OptimWrapper, "step", take_step),
    ]


class Images(list[Any]):
    """A data set of which the length and the classes are asked."""

    metainfo = {"classes": ["thing"] * 21}  # noqa: RUF012 - is not changed


@dataclass
class Loader:
    """In the place of torch's DataLoader; what is done with the first batch is counted until the next is asked for."""

    watch: Watch
    seen: Seen
    runner: Any
    dataset: Images = field(default_factory=lambda: Images(range(NUM_STEPS)))

    def __len__(self) -> int:
        return NUM_STEPS

    def __iter__(self) -> Iterator[dict[str, Any]]:
        kind, num_images = ("training", SHARE) if self.runner.model.training else ("test", 1)
        self.watch.clear()
        yield _batch(num_images)
        self.seen.counts[kind] = self.watch.counts()
        yield _batch(num_images)


def _batch(num_images: int) -> dict[str, Any]:
    size = (SIZE, SIZE)
    meta = {"img_shape": size, "ori_shape": size, "pad_shape": size, "img_path": "", "flip": False}
    masks = torch.zeros(num_images, 1, SIZE, SIZE, dtype=torch.long)
    depths = torch.ones(num_images, 1, SIZE, SIZE)
    return {
        "inputs": [torch.zeros(3, SIZE, SIZE, dtype=torch.uint8) for _ in range(num_images)],
        "data_samples": [
            SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=mask), gt_depth_map=PixelData(data=depth))
            for mask, depth in zip(masks, depths, strict=True)
        ],
    }


def _read(cross_entropy: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    loss = cross_entropy(*args, **kwargs)
    loss.item()
    return loss


def _weighted(cross_entropy: Callable[..., Tensor], logits: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return cross_entropy(logits, *args, **kwargs | {"class_weight": torch.ones(logits.shape[1])})


def _with_loss(change: Callable[..., Tensor]) -> Callable[[Any], Any]:
    def patch(model: Any) -> Any:
        loss = model.decode_head.loss_decode
        return mock.patch.object(loss, "cls_criterion", functools.partial(change, loss.cls_criterion))

    return patch


FAULTS: dict[str, Callable[[Any], Any]] = {
    "a value read": _with_loss(_read),
    "weights of classes made without their device": _with_loss(_weighted),
}
