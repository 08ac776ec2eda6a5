"""Training with Detectron2's own trainers, hooks and schedule, and a state that can be resumed exactly."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.engine.defaults import create_ddp_model
from detectron2.solver import build_lr_scheduler
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, EventWriter, TensorboardXWriter
from torch import nn

from pretrain.model.even_sync_norm import without_waits
from transfer.tasks.detection.accumulation import AccumulatingTrainer
from transfer.tasks.detection.data import derived_seed, train_loader
from transfer.tasks.detection.losses import MixedPrecisionTrainer, Trainer
from transfer.tasks.detection.optimizer import build_optimizer
from twist_common.background import BackgroundWriter, host_copy
from twist_common.errors import UserError
from twist_common.files import atomic_path

STATE_NAME = "resume.pth"
WRITE_PERIOD = 20  # iterations between two lines of the log
# Streams of random numbers that are drawn from the trial's seed; each is independent of the others.
TRAINING_STREAM, PRECISE_BN_STREAM = 0, 1

logger = logging.getLogger("detectron2.trial")


def train(
    cfg: CfgNode,
    model: nn.Module,
    dicts: list[dict[str, Any]],
    *,
    seed: int,
    work_dir: Path,
    fingerprint: str,
    progress: Callable[[int, int], None],
    parts: int = 1,
) -> None:
    """Trains the model in place, resuming from ``work_dir/resume.pth`` if that is of the same trial.

    The state is written every SOLVER.CHECKPOINT_PERIOD iterations, and at the end if that is less than
    SOLVER.MAX_ITER. It holds no random state: every draw of iteration n is seeded by (seed, n, process), so a
    resumed trial is bit for bit the uninterrupted one.

    Args:
        cfg: the trial's config.
        model: on its device, with its weights loaded.
        dicts: the training images.
        fingerprint: stands for all that determines the trial; a state with another one is not used.
        progress: called with (iterations done, iterations in all) in the main process.
        parts: into how many parts each process divides its share of the batch, see :class:`AccumulatingTrainer`.
    """
    state = load_state(work_dir / STATE_NAME, fingerprint, cfg.MODEL.DEVICE)
    start = state["trainer"]["iteration"] + 1 if state else 0
    if state:
        model.load_state_dict(state["model"])
        logger.info("Resuming from iteration %d", start)
    if start >= cfg.SOLVER.MAX_ITER:
        return
    optimizer = build_optimizer(cfg, model)
    loader = train_loader(cfg, dicts, seed=derived_seed(seed, TRAINING_STREAM), start=start, parts=parts)
    trainer = make_trainer(cfg, model, optimizer, loader, parts=parts)
    writers: list[EventWriter] = []
    if comm.is_main_process():
        writers = [CommonMetricPrinter(cfg.SOLVER.MAX_ITER), TensorboardXWriter(str(work_dir))]
    trainer.register_hooks(
        [
            SeedIterations(seed),
            hooks.IterationTimer(),
            hooks.LRScheduler(optimizer, build_lr_scheduler(cfg, optimizer)),
            _precise_bn(cfg, model, dicts, seed, parts),
            Progress(progress),
            SaveState(model, work_dir / STATE_NAME, fingerprint, period=cfg.SOLVER.CHECKPOINT_PERIOD),
            hooks.PeriodicWriter(writers, period=WRITE_PERIOD),
        ]
    )
    if state:
        trainer.load_state_dict(state["trainer"])
    trainer.train(start, cfg.SOLVER.MAX_ITER)


def make_trainer(
    cfg: CfgNode,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: torch.utils.data.DataLoader,
    *,
    parts: int = 1,
) -> SimpleTrainer:
    """Mixed precision where the config asks for it, data parallel where there are several processes.

    Raises:
        UserError: mixed precision together with accumulation.
    """
    if parts > 1 and cfg.SOLVER.AMP.ENABLED:
        raise UserError(
            f"SOLVER.AMP.ENABLED=True with a batch accumulated in {parts} parts is not supported: "
            "use more GPUs, or leave it out"
        )
    is_on_gpu = cfg.MODEL.DEVICE == "cuda"
    if is_on_gpu and comm.get_world_size() > 1:
        without_waits(model.get_submodule("backbone"))  # the heads' batches are regions, of which there may be none
    device_ids = [comm.get_local_rank()] if is_on_gpu else None
    parallel = create_ddp_model(model, broadcast_buffers=False, device_ids=device_ids)
    if parts > 1:
        return AccumulatingTrainer(parallel, loader, optimizer, parts=parts)
    return (MixedPrecisionTrainer if cfg.SOLVER.AMP.ENABLED else Trainer)(parallel, loader, optimizer)


def _precise_bn(cfg: CfgNode, model: nn.Module, dicts: list[dict[str, Any]], seed: int, parts: int) -> HookBase | None:
    """As in Detectron2's own trainer: once, after the last iteration, on batches of another loader."""
    if not cfg.TEST.PRECISE_BN.ENABLED:
        return None
    loader = train_loader(cfg, dicts, seed=derived_seed(seed, PRECISE_BN_STREAM), parts=parts)
    return hooks.PreciseBN(0, model, loader, cfg.TEST.PRECISE_BN.NUM_ITER * parts)  # over as many images


class SeedIterations(HookBase):
    """Seeds the sampling of anchors and regions, which the model draws in each iteration."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def before_step(self) -> None:
        torch.manual_seed(derived_seed(self._seed, self.trainer.iter, comm.get_rank()))


class Progress(HookBase):
    """Reports about a hundred times in a run, from the main process."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def after_step(self) -> None:
        done, total = self.trainer.iter + 1, self.trainer.max_iter
        if comm.is_main_process() and (done % max(1, total // 100) == 0 or done == total):
            self._progress(done, total)


class SaveState(HookBase):
    """Writes model, optimizer, schedule and iteration, whole or not at all; hooks that change the model come first.

    The file is written while the next iterations run, and is whole when training ends, however it does.
    """

    def __init__(self, model: nn.Module, path: Path, fingerprint: str, *, period: int) -> None:
        self._model, self._path, self._fingerprint, self._period = model, path, fingerprint, period
        self._writer = BackgroundWriter()

    def after_step(self) -> None:
        done, total = self.trainer.iter + 1, self.trainer.max_iter
        if not comm.is_main_process() or self._period <= 0 or self._period >= total:
            return
        self._writer.check()
        if done % self._period == 0 or done == total:
            state = {
                "fingerprint": self._fingerprint,
                "model": self._model.state_dict(),
                "trainer": self.trainer.state_dict(),
            }
            self._writer.start(partial(self._write, host_copy(state)))

    def after_train(self) -> None:
        self._writer.wait()

    def _write(self, state: dict[str, Any]) -> None:
        with atomic_path(self._path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)  # given a path, torch would hide what the system refuses


def load_state(path: Path, fingerprint: str, device: str) -> dict[str, Any] | None:
    """The state of this very trial, or None where there is none, or one that a trial with other settings left."""
    if not path.is_file():
        return None
    state = torch.load(path, map_location=device, weights_only=True)
    if state["fingerprint"] != fingerprint:
        logger.info("%s is of a trial with other settings: starting from the beginning", path)
        return None
    return state
