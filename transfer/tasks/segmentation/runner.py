"""MMEngine's Runner for one trial: device, processes, seed, weights and folders come from the trial."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.compat import prepare_mmseg

prepare_mmseg()  # because a spawned process imports this module first

import mmengine.device.utils  # noqa: E402
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dist import get_world_size, is_main_process  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.runner import LogProcessor, Runner  # noqa: E402
from mmseg.datasets.transforms import LoadAnnotations  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from pretrain.model.even_sync_norm import without_waits  # noqa: E402
from transfer.outcomes.file import packed  # noqa: E402
from transfer.outcomes.pixels import Confusion  # noqa: E402
from transfer.processes import Report  # noqa: E402
from transfer.tasks.segmentation.accumulation import accumulate  # noqa: E402
from transfer.tasks.segmentation.checks import check_counts  # noqa: E402
from transfer.tasks.segmentation.depth_scores import draw_depths, mean_everywhere  # noqa: E402
from transfer.tasks.segmentation.depth_scores import outcomes_of as outcomes_of_depths  # noqa: E402
from transfer.tasks.segmentation.extensions import register_extensions  # noqa: E402
from transfer.tasks.segmentation.hooks import (  # noqa: E402
    BackgroundCheckpoints,
    ReadLossesOnce,
    ReportProgress,
    SeedEachIteration,
    VerifyBackbone,
)
from transfer.tasks.segmentation.pictures import draw_pictures  # noqa: E402
from twist_common.errors import UserError  # noqa: E402
from twist_common.shared_memory import without_lost_batches  # noqa: E402

METRIC_NAMES = {"mIoU": "miou", "mAcc": "macc", "aAcc": "aacc"}


@dataclass(frozen=True, kw_only=True)
class SegmentationJob:
    """What each process of a trial needs to know; can be pickled, as a trial's progress cannot.

    Attributes:
        config: with absolute data roots.
        weights: the converted backbone, loaded through ``init_cfg``.
        checkpoint: of the same trial, to resume from; MMEngine's ``iter_<iterations done>.pth``.
        parts: into how many parts each process divides its share of the batch.
    """

    config: Config
    weights: Path
    checkpoint: Path | None
    name: str
    seed: int
    device: str
    work_dir: Path
    parts: int = 1


@dataclass(frozen=True, kw_only=True)
class SegmentationResult:
    """What comes out of a trial.

    Attributes:
        scores: metrics of the trained model.
        references: the same of what never learned anything, by what that is.
        pictures: below the job's ``work_dir``; none in processes other than the main one.
        absent: classes that no test mask has, which are not averaged over.
        outcomes: of the test images; empty in processes other than the main one.
    """

    scores: dict[str, float]
    references: dict[str, dict[str, float]]
    pictures: list[Path]
    absent: list[str]
    outcomes: bytes


def train_and_test(job: SegmentationJob, report: Report) -> SegmentationResult:
    """The trial itself, called in each of its processes.

    Raises:
        UserError: the number of images is not the protocol's, or the backbone is not the converted file.
    """
    # What MMSegmentation warns of at every start: its own deprecated calls, and its default averaging of the loss.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"mmseg\.")
    runner = build_runner(job, report)
    check_counts(
        job.config,
        num_train=len(runner.train_loop.dataloader.dataset),
        num_test=len(runner.test_loop.dataloader.dataset),
    )
    is_depth = job.config.model.type == "DepthEstimator"
    absent: list[str] = []
    if is_depth:
        references = {"mean depth everywhere": mean_everywhere(runner)}
    else:
        background, absent = all_background(runner)
        references = {"all background": background}
    if job.checkpoint is None or int(job.checkpoint.stem.removeprefix("iter_")) < runner.max_iters:
        runner.train()
    measured = runner.test()
    pictures: list[Path] = []
    outcomes = b""
    if is_main_process():
        outcomes = outcomes_of_depths(runner) if is_depth else outcomes_of(runner.test_loop.evaluator.metrics[0].areas)
        pictures = (draw_depths if is_depth else draw_pictures)(runner, job.work_dir / "pictures")
    scores = dict(measured) if is_depth else named(measured)
    return SegmentationResult(scores=scores, references=references, pictures=pictures, absent=absent, outcomes=outcomes)


def outcomes_of(areas: list[tuple[torch.Tensor, ...]]) -> bytes:
    """The outcomes of the test images (:func:`transfer.outcomes.file.packed`), from the metric's areas."""
    right, _, predicted, labelled = (torch.stack(each).long().numpy() for each in zip(*areas, strict=True))
    return packed(Confusion.of_areas(right, predicted, labelled))


class KeepPeak(LogProcessor):
    """Logs the most memory since the start; MMEngine's own forgets it with each line, and the record with it."""

    def _get_max_memory(self, runner: Runner) -> int:
        return torch.cuda.max_memory_allocated() // 2**20


class TrialRunner(Runner):
    """A Runner that logs to its file alone, as the trial's owner shows progress, and whose GPUs compute channels last.

    On an H100 a step of ``seg-voc`` took 0.86 of the time so. Whatever wraps the model looks at its layout.
    """

    def build_log_processor(self, log_processor: dict[str, Any]) -> LogProcessor:
        return KeepPeak(**log_processor)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: torch.nn.Module) -> torch.nn.Module:
        if mmengine.device.utils.DEVICE == "cuda":
            model.to(memory_format=torch.channels_last)
        wrapped: torch.nn.Module = super().wrap_model(model_wrapper_cfg, model)
        return wrapped

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in list(logger.handlers):
            if type(handler) is logging.StreamHandler:  # a FileHandler is one too
                logger.removeHandler(handler)
        return logger

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        return without_lost_batches(Runner.build_dataloader(*args, **kwargs))


def build_runner(job: SegmentationJob, report: Report) -> Runner:
    """Builds the Runner; nothing is trained yet."""
    register_extensions()
    config = copy.deepcopy(job.config)
    # MMEngine settles on a device when it is imported: the best of the machine.
    mmengine.device.utils.DEVICE = job.device
    config.work_dir = str(job.work_dir)
    config.resume = job.checkpoint is not None
    config.load_from = str(job.checkpoint) if job.checkpoint else None
    # Loggers, message hubs and visualisers are kept by name for the life of the process.
    config.experiment_name = f"{job.name}-{time.time_ns()}"
    tensorboard = {"type": "TensorboardVisBackend", "save_dir": str(job.work_dir / "tensorboard")}
    config.visualizer = {"type": "SegLocalVisualizer", "vis_backends": [tensorboard]}
    # Cross entropy over pixels has no deterministic CUDA kernel, so only the CPU is held to it.
    config.env_cfg.cudnn_benchmark = job.device == "cuda"
    config.randomness = {"seed": job.seed, "deterministic": job.device == "cpu"}
    config.model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": str(job.weights)}
    if config.test_evaluator.type == "IoUMetric":
        config.test_evaluator.type = "ExistingClassesIoU"
    checkpoints = config.default_hooks.get("checkpoint")
    if checkpoints and checkpoints.type == "CheckpointHook":
        checkpoints.type = BackgroundCheckpoints.__name__
    if job.device == "cuda":
        config.model.data_preprocessor.type = "PinnedPreProcessor"
        if config.optim_wrapper.optimizer.type in ("AdamW", "SGD"):
            config.optim_wrapper.optimizer.fused = True  # one kernel; MMEngine's default is several
    accumulate(config, job.parts)
    if get_world_size() > 1:
        config.launcher = "pytorch"
        config.train_dataloader.batch_size //= get_world_size()
        if job.device == "cpu":
            replace_sync_bn(config.model)  # torch's has no CPU kernel
            ddp = {"type": "MMDistributedDataParallel", "device_ids": None, "broadcast_buffers": False}
            config.model_wrapper_cfg = ddp
    runner = TrialRunner.from_cfg(config)
    if get_world_size() > 1 and job.device == "cuda":
        without_waits(runner.model)
    hooks = (ReadLossesOnce(), VerifyBackbone(job.weights), SeedEachIteration(job.seed), ReportProgress(report))
    for hook in hooks:
        runner.register_hook(hook)
    return runner


def replace_sync_bn(config: Any) -> None:
    """Turns ``SyncBN`` into ``BN`` throughout a config, in place."""
    children = config.values() if hasattr(config, "values") else config if isinstance(config, list) else ()
    for child in children:
        replace_sync_bn(child)
    if hasattr(config, "values") and config.get("type") == "SyncBN":
        config.type = "BN"


def all_background(runner: Runner) -> tuple[dict[str, float], list[str]]:
    """What a segmentation scores that never learned anything: class 0 at every pixel of the test masks.

    Returns:
        ``miou``, ``macc``, ``aacc`` in percent, by the metric and settings of the trial; and the classes that no mask
        has.

    Raises:
        UserError: no pixel of any mask is labelled.
    """
    dataset = runner.test_loop.dataloader.dataset
    metric = runner.test_loop.evaluator.metrics[0]
    steps = dataset.pipeline.transforms
    first = next(index for index, step in enumerate(steps) if isinstance(step, LoadAnnotations))
    num_classes = len(dataset.metainfo["classes"])
    areas = []
    for index in range(len(dataset)):
        results = dataset.get_data_info(index)
        for step in steps[first:-1]:  # the masks alone: without loading images, without packing
            results = step(results)
        mask = torch.from_numpy(results["gt_seg_map"])
        areas.append(metric.intersect_and_union(torch.zeros_like(mask), mask, num_classes, metric.ignore_index))
    exists = sum(labelled for *_, labelled in areas) > 0
    if not exists.any():
        raise UserError(f"no pixel of the {len(dataset)} test masks is labelled: nothing can be scored")
    absent = [name for name, there in zip(dataset.metainfo["classes"], exists.tolist(), strict=True) if not there]
    return named(metric.compute_metrics(areas)), absent


def named(metrics: dict[str, float]) -> dict[str, float]:
    """MMSegmentation's metrics under the suite's names, in percent.

    A class that is neither in the masks nor in the predictions has no IoU, and MMSegmentation leaves it out of the
    mean; if that is so for all of them, the mean is NaN and stays NaN.
    """
    return {ours: round(float(metrics[theirs]), 2) for theirs, ours in METRIC_NAMES.items()}
