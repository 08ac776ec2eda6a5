"""MMEngine's Runner for one trial: device, processes, seed, weights and folders come from the trial."""

from __future__ import annotations

import copy
import logging
import os
import time
from pathlib import Path
from typing import Any

import mmengine.device.utils
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from common.errors import UserError
from transfer.segmentation.hooks import ReportProgress, SeedEachIteration, VerifyBackbone
from transfer.trial import Trial


class TrialRunner(Runner):
    """A Runner that logs to its file alone; the trial's owner shows progress."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in list(logger.handlers):
            if type(handler) is logging.StreamHandler:  # a FileHandler is one too
                logger.removeHandler(handler)
        return logger


def build_runner(config: Config, trial: Trial, *, weights: Path, checkpoint: Path | None) -> Runner:
    """Builds the Runner; nothing is trained yet.

    Args:
        config: with absolute data roots.
        weights: the converted backbone, loaded through ``init_cfg``.
        checkpoint: of the same trial, to go on from.

    Raises:
        UserError: the batch cannot be divided among the processes.
    """
    config = copy.deepcopy(config)
    # MMEngine settles on a device when it is imported: the best of the machine.
    mmengine.device.utils.DEVICE = trial.device
    config.work_dir = str(trial.work_dir)
    config.resume = checkpoint is not None
    config.load_from = str(checkpoint) if checkpoint else None
    # Loggers, message hubs and visualisers are kept by name for the life of the process.
    config.experiment_name = f"{trial.benchmark.name}-seed{trial.seed}-{time.time_ns()}"
    config.visualizer = dict(
        type="SegLocalVisualizer",
        vis_backends=[dict(type="TensorboardVisBackend", save_dir=str(trial.work_dir / "tensorboard"))],
    )
    # Cross entropy over pixels has no deterministic CUDA kernel, so only the CPU is held to it.
    config.randomness = dict(seed=trial.seed, deterministic=trial.device == "cpu")
    config.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=str(weights))
    _distribute(config, trial.device)
    runner = TrialRunner.from_cfg(config)
    for hook in (VerifyBackbone(weights), SeedEachIteration(trial.seed), ReportProgress(trial.progress)):
        runner.register_hook(hook)
    return runner


def _distribute(config: Config, device: str) -> None:
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    batch_size = config.train_dataloader.batch_size
    if batch_size % num_processes:
        raise UserError(
            f"batch size {batch_size} cannot be divided among {num_processes} processes: "
            "use a number of GPUs that divides it"
        )
    if num_processes == 1:
        return
    config.train_dataloader.batch_size = batch_size // num_processes
    config.launcher = "pytorch"
    if device == "cpu":
        # MMEngine would take NCCL and pass a GPU's number on.
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        config.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False
        )
