"""Pre-training: ``checkpoint.pth`` at the end of each epoch and when asked to stop, in the end ``backbone.pth``."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import nn

from common.errors import UserError
from common.files import make_dir
from pretrain import checks, schedule
from pretrain.data.augment import Views
from pretrain.data.dataset import Batch, TrainingOrder, TwistDataset, build_loader
from pretrain.data.device_augment import prepare
from pretrain.distributed import Process, any_process, first_process_first
from pretrain.model.build import build_model
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.model.norms import average_running_statistics
from pretrain.recipe import Recipe, as_dict, recipe_sha256
from pretrain.run import checkpoint
from pretrain.run.checkpoint import Content
from pretrain.run.finished import BACKBONE_NAME, CHECKPOINT_NAME, write_note
from pretrain.run.optim import build_optimizer
from pretrain.run.preemption import Preempted, StopRequest, stop_request
from pretrain.run.step import NonFiniteLossError, StepResult, TrainStep
from pretrain.watch import diagnosis, monitor
from pretrain.watch.progress import TrainingProgress
from pretrain.watch.sentinel import CollapseSentinel
from pretrain.watch.stopwatch import Stopwatch
from pretrain.watch.watched_epoch import WatchedEpoch


class TrainingError(RuntimeError):
    """The run cannot go on; the message says why and what is left of it."""


def train(recipe: Recipe, *, data: Path, out: Path, process: Process) -> None:
    """Trains to the recipe's last epoch, going on from the checkpoint in ``out`` if there is one.

    Args:
        data: see :func:`pretrain.data.dataset.find_train_folder`.
        out: made if need be; a finished run in it is left as it is.

    Raises:
        UserError: see :mod:`pretrain.checks`, :func:`pretrain.run.checkpoint.load_for_resume` and
            :class:`pretrain.data.dataset.TwistDataset`.
        TrainingError: the loss or the weights are no longer finite, or the classes collapsed and the recipe says to
            stop then.
        Preempted: the run was asked to stop; its checkpoint is written.
    """
    checks.check(recipe)
    saved = checkpoint.load_for_resume(out, recipe)
    with first_process_first(process):  # the index of shards is made once
        dataset = TwistDataset(data, recipe, index_dir=out)
    if saved and saved["data_sha256"] != dataset.sha256:
        raise UserError(f"{out / CHECKPOINT_NAME} was trained on other images than {data}: choose another --out")
    with _sole_use(out, process), stop_request() as request:
        trainer = Trainer(recipe, dataset, out, process, request)
        if saved:
            trainer.resume(saved)
        trainer.run()


@contextlib.contextmanager
def _sole_use(out: Path, process: Process) -> Iterator[None]:
    """Keeps a second run out of ``out``, and clears away files that a killed run was still writing."""
    make_dir(out)
    if not process.is_first:
        yield
        return
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it, however the run ends
        except BlockingIOError:
            raise UserError(f"another run is writing to {out}: wait for it or choose another --out") from None
        for unfinished in out.glob(".*.tmp.*"):
            unfinished.unlink()
        yield


class Trainer:
    """The state of a run and what is done with it.

    Attributes:
        step: steps done since the start of the run. Epoch, stage, learning rates and the images of the next step
            follow from it alone.
    """

    def __init__(
        self, recipe: Recipe, dataset: TwistDataset, out: Path, process: Process, request: StopRequest
    ) -> None:
        self.recipe, self.dataset, self.out, self.process, self.request = recipe, dataset, out, process, request
        self.step = 0
        self.steps_per_epoch = len(dataset) // recipe.data.batch_size
        self.model = build_model(recipe, process)
        self.teacher = MomentumEncoder(self.model) if recipe.momentum_encoder.enabled else None
        self.train_step = TrainStep(recipe, self.model, self.teacher, process)
        self.optimizer = build_optimizer(recipe.optim, self.model)
        self.probe = monitor.NbsProbe(self.model.head.nbs)
        self.sentinel = CollapseSentinel(recipe.model.num_classes, eps=recipe.loss.eps, num_images=len(dataset))
        self.watched = WatchedEpoch(dataset.num_labels)
        self.curves: monitor.Curves | None = None

    @property
    def epoch(self) -> int:
        """Epochs done; the one that is under way, counted from 0."""
        return self.step // self.steps_per_epoch

    def resume(self, saved: Content) -> None:
        """Takes over the state of a checkpoint, to the bit."""
        self.model.load_state_dict(saved["model"])
        if self.teacher is not None:
            self.teacher.load_state_dict(saved["teacher"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]
        self.sentinel.load_state_dict(saved["sentinel"])
        if self.process.is_first:
            self.watched.load_state_dict(saved["watched"])
            epochs = f"{self.step / self.steps_per_epoch:g} of {self.recipe.total_epochs} epochs"
            print(f"going on from {self.out / CHECKPOINT_NAME}: {epochs} done")

    def run(self) -> None:
        """Trains the steps that are left, then writes the backbone and, last, the finished checkpoint."""
        num_steps = self.recipe.total_epochs * self.steps_per_epoch
        if self.step == num_steps:
            self._save()  # killed between the checkpoint and the note, or a file was lost
            return
        progress = TrainingProgress(num_steps, self.step, self.recipe.data.batch_size, self.process.is_first)
        self.curves = monitor.Curves(self.out, self.step) if self.process.is_first else None
        stopwatch = Stopwatch(self._load())
        with progress, contextlib.closing(self.curves) if self.curves else contextlib.nullcontext():
            for batches in stopwatch:
                epoch = self.epoch
                is_logged = (self.step + 1) % self.recipe.run.log_steps == 0 or self.step == 0
                self.probe.is_on = is_logged
                result = self._train(batches)
                self.step += 1
                self.watched.add(result.logits, batches)
                terms = monitor.loss_statistics(result.loss)
                progress.update(self.step, epoch, terms)
                if is_logged:
                    speed = stopwatch.lap(self.recipe.data.batch_size)
                    self._observe("step", {**terms, **self._step_statistics(result), **speed}, epoch)
                if self.step % self.steps_per_epoch == 0:
                    self._end_epoch(epoch)
                if self.step < num_steps and any_process(self.request.is_made, self.process):
                    self._preempt()

    def _load(self) -> Iterator[Sequence[Batch]]:
        """The parts of each step that is left."""
        order = TrainingOrder(
            self.recipe,
            self.dataset,
            first_epoch=self.epoch,
            first_step=self.step % self.steps_per_epoch,
            rank=self.process.rank,
            world_size=self.process.world_size,
        )
        loader = iter(build_loader(self.recipe, self.dataset, order, pin_memory=self.process.device.type == "cuda"))
        while parts := list(itertools.islice(loader, self.recipe.data.accumulation)):
            yield parts

    def _train(self, batches: Sequence[Batch]) -> StepResult:
        """One step: rates, gradients, optimiser, momentum encoder."""
        recipe, now = self.recipe, (self.recipe, self.step, self.steps_per_epoch)
        is_self_labeling = schedule.is_self_labeling(recipe, self.epoch)
        decayed, others = self.optimizer.param_groups
        decayed["lr"] = others["lr"] = schedule.learning_rate(*now)
        decayed["weight_decay"] = schedule.weight_decay(*now)
        self.optimizer.zero_grad(set_to_none=True)
        parts: list[Views] = [prepare(batch.views, recipe, batch.seeds, self.process.device) for batch in batches]
        keep_share = schedule.keep_share(*now) if is_self_labeling else None
        try:
            result = self.train_step(parts, step=self.step, keep_share=keep_share)
        except NonFiniteLossError as error:
            raise self._failed(str(error), diagnosis.describe(self.model, self.optimizer, error.logits)) from None
        if recipe.optim.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optim.clip_norm)
        self.optimizer.step()
        if self.teacher is not None and not is_self_labeling:
            self.teacher.update(self.model, schedule.teacher_momentum(*now))
        return result

    def _step_statistics(self, result: StepResult) -> monitor.Statistics:
        decayed = self.optimizer.param_groups[0]
        return {
            "lr": decayed["lr"],
            "weight_decay": decayed["weight_decay"],
            "agreement": monitor.agreement(result.logits),
            "batch_used_classes": float(result.logits[0].argmax(dim=-1).unique().numel()),
            **self.probe.read(),
        }

    def _observe(self, kind: str, statistics: monitor.Statistics, epoch: int) -> None:
        """Writes the statistics down and shows them to the sentinel; every process sees what the first one wrote."""
        if self.curves:
            self.curves.write(kind, self.step, epoch, statistics)
        if schedule.is_self_labeling(self.recipe, epoch):
            return
        observe = self.sentinel.observe_step if kind == "step" else self.sentinel.observe_epoch
        warning = observe(statistics)
        if warning and self.process.is_first:
            print(f"warning: step {self.step}: {warning}", file=sys.stderr)
        if self.recipe.run.on_collapse == "stop" and any_process(warning is not None, self.process):
            what = warning or "another process saw a collapse"
            raise TrainingError(f"{what}; stopped at step {self.step}: {self._what_is_left()}")

    def _end_epoch(self, epoch: int) -> None:
        self._observe("epoch", self.watched.statistics(self.process.device), epoch)
        if self.process.is_first and self.watched.num_unreadable:
            print(f"warning: epoch {epoch + 1}: {self.watched.unreadable_note()}", file=sys.stderr)
        self.watched = WatchedEpoch(self.dataset.num_labels)
        run, ends = self.recipe.run, (self.recipe.epochs, self.recipe.total_epochs)
        is_kept = run.keep_epochs is not None and self.epoch % run.keep_epochs == 0
        if self.epoch in ends or self.epoch % run.checkpoint_epochs == 0 or is_kept:
            self._save(is_kept)

    def _preempt(self) -> None:
        self._save()
        raise Preempted(
            f"stopped at step {self.step} (epoch {self.epoch + 1}) as asked: {self.out / CHECKPOINT_NAME} is written, "
            "start the same command again to go on"
        )

    def _save(self, is_kept: bool = False) -> None:
        if not monitor.all_finite(self.model):
            raise self._failed("a weight is not finite", diagnosis.describe(self.model, self.optimizer))
        for network in (self.model, self.teacher):
            if network is not None:
                average_running_statistics(network, self.process)
        watched = self.watched.state_dict()
        if not self.process.is_first:
            return
        is_finished = self.step == self.recipe.total_epochs * self.steps_per_epoch
        if is_finished:
            checkpoint.export_backbone(self.out / BACKBONE_NAME, self.model, self.recipe, self.teacher)
        content = {
            "arch": self.recipe.model.backbone,
            "recipe": as_dict(self.recipe),
            "recipe_sha256": recipe_sha256(self.recipe),
            "data_sha256": self.dataset.sha256,
            "epoch": self.epoch,
            "step": self.step,
            "finished": is_finished,
            "model": checkpoint.plain_state(self.model),
            "teacher": checkpoint.plain_state(self.teacher) if self.teacher is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "sentinel": self.sentinel.state_dict(),
            "watched": watched,
        }
        checkpoint.save(self.out / CHECKPOINT_NAME, content)
        if is_kept:
            checkpoint.keep(self.out, self.epoch)
        if is_finished:
            write_note(self.out, self.recipe)
            print(f"finished: {self.out / BACKBONE_NAME}")

    def _failed(self, what: str, details: str = "") -> TrainingError:
        return TrainingError(
            f"{what} at step {self.step + 1} (epoch {self.epoch + 1}): {self._what_is_left()}; "
            f"a lower optim.lr or another seed, with another --out, may help{details}"
        )

    def _what_is_left(self) -> str:
        last = self.out / CHECKPOINT_NAME
        return f"the last good checkpoint is {last}" if last.is_file() else "no checkpoint was written yet"
