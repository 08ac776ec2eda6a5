"""The training loop, with its checkpoints and, at the end, ``backbone.pth``."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from functools import partial
from pathlib import Path

from pretrain import checks, schedule
from pretrain.data.dataset import TwistDataset, load_steps
from pretrain.data.device_augment import prepare
from pretrain.data.order import TrainingOrder
from pretrain.distributed import Process, any_process, first_process_first, wait_for_all
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.model.norms import average_running_statistics
from pretrain.model.twist_model import build_model
from pretrain.recipe import Recipe, as_dict, recipe_sha256
from pretrain.run import checkpoint
from pretrain.run.agreement import (
    LOCK_NAME,
    SAME_OUT,
    Fact,
    agree,
    check_data,
    check_start,
    hold_same_folder,
    in_all_processes,
)
from pretrain.run.checkpoint import Content
from pretrain.run.finished import BACKBONE_NAME, CHECKPOINT_NAME, write_note
from pretrain.run.optim import build_optimizer
from pretrain.run.preemption import Preempted, StopRequest, stop_request
from pretrain.run.step import NonFiniteLossError, TrainStep
from pretrain.watch import diagnosis, monitor
from pretrain.watch.progress import Stopwatch, TrainingProgress
from pretrain.watch.sentinel import CollapseSentinel
from pretrain.watch.trackers import open_tracker
from twist_common.background import BackgroundWriter, host_copy
from twist_common.errors import UserError
from twist_common.files import make_dir, named_in_errors, remove_unfinished


class TrainingError(RuntimeError):
    """The run cannot continue; the message says why and what is left of it."""


def train(recipe: Recipe, *, data: Path, out: Path, process: Process) -> None:
    """Trains to the recipe's last epoch, from the checkpoint in ``out`` if there is one.

    Args:
        data: see :func:`pretrain.data.listing.find_train_folder`.
        out: created if it does not exist; a finished run in it is left unchanged.

    Raises:
        UserError: see :mod:`pretrain.checks`, :func:`pretrain.run.checkpoint.load_for_resume` and :func:`listed`; or
            another run is writing to ``out``; or the processes do not agree (:mod:`pretrain.run.agreement`).
        TrainingError: the loss or the weights are no longer finite, or the classes collapsed and the recipe says to
            stop then.
        Preempted: the run was asked to stop; its checkpoint is written.
    """
    in_all_processes(lambda: checks.check(recipe), process)
    check_start(recipe, process)
    saved = in_all_processes(lambda: checkpoint.load_for_resume(out, recipe), process)
    step = saved["step"] if saved else 0
    agree([Fact(step, f"step {step} of the run in {out.resolve()}", SAME_OUT)], process)
    dataset = in_all_processes(lambda: listed(data, recipe, saved, out, process), process)
    check_data(dataset, data, process)
    if process.is_first:
        print(dataset.summary(), flush=True)
    with in_all_processes(lambda: locked(out, process), process), stop_request() as request:
        hold_same_folder(out, process)
        trainer = Trainer(recipe, dataset, out, process, request)
        if saved:
            trainer.resume(saved)
        trainer.run()


def listed(data: Path, recipe: Recipe, saved: Content | None, out: Path, process: Process) -> TwistDataset:
    """The images to train on.

    Raises:
        UserError: see :class:`pretrain.data.dataset.TwistDataset`; or they are not the images of the checkpoint; or
            the processes cannot share a batch.
    """
    with first_process_first(process):  # the index of shards is made once
        dataset = TwistDataset(data, recipe, index_dir=out)
    if saved and saved["data_sha256"] != dataset.sha256:
        raise UserError(f"{out / CHECKPOINT_NAME} was trained on other images than {data}: choose another --out")
    TrainingOrder(recipe, dataset, rank=process.rank, world_size=process.world_size)
    return dataset


def locked(out: Path, process: Process) -> contextlib.AbstractContextManager[object]:
    """Creates ``out`` if necessary and locks it for this run, in the first process only.

    Raises:
        UserError: it cannot be written to, or another run is writing to it.
    """
    if not process.is_first:
        return contextlib.nullcontext()
    make_dir(out)
    lock = (out / LOCK_NAME).open("a")
    try:
        with named_in_errors(out / LOCK_NAME):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system releases it, however the run ends
    except BlockingIOError:
        lock.close()
        raise UserError(f"another run is writing to {out}: wait for it or choose another --out") from None
    remove_unfinished(out)
    return lock


class Trainer:
    """The state of a run, and how it is trained, monitored and saved.

    Attributes:
        step: steps completed since the start of the run. It alone determines the epoch, the stage, the learning rate
            and the images of the next step.
    """

    def __init__(
        self, recipe: Recipe, dataset: TwistDataset, out: Path, process: Process, request: StopRequest
    ) -> None:
        self.recipe, self.dataset, self.out, self.process, self.request = recipe, dataset, out, process, request
        self.step = 0
        self.steps_per_epoch = len(dataset) // recipe.data.batch_size
        self.num_steps = recipe.total_epochs * self.steps_per_epoch
        self.model = build_model(recipe, process)
        self.teacher = MomentumEncoder(self.model) if recipe.momentum_encoder.enabled else None
        self.optimizer = build_optimizer(recipe.optim, self.model)
        self.train_step = TrainStep(
            recipe, self.model, self.teacher, self.optimizer, process, steps_per_epoch=self.steps_per_epoch
        )
        self.probe = monitor.NbsProbe(self.model.head.nbs)
        self.sentinel = CollapseSentinel(recipe.model.num_classes, eps=recipe.loss.eps, num_images=len(dataset))
        self.watched = monitor.WatchedEpoch(dataset.num_labels)
        self.curves: monitor.Curves | None = None
        self.writer = BackgroundWriter()

    @property
    def epoch(self) -> int:
        """The current epoch, counted from 0: the number of completed epochs."""
        return self.step // self.steps_per_epoch

    def resume(self, saved: Content) -> None:
        """Restores the state of a checkpoint exactly."""
        self.model.load_state_dict(saved["model"])
        if self.teacher is not None:
            self.teacher.load_state_dict(saved["teacher"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.train_step.scaler.load_state_dict(saved["scaler"])
        self.step = saved["step"]
        self.sentinel.load_state_dict(saved["sentinel"])
        if self.process.is_first:
            self.watched.load_state_dict(saved["watched"])
            epochs = f"{self.step / self.steps_per_epoch:g} of {self.recipe.total_epochs} epochs"
            print(f"resuming from {self.out / CHECKPOINT_NAME}: {epochs} done")

    def run(self) -> None:
        """Trains the remaining steps, then writes the backbone, the final checkpoint and the note."""
        if self.step == self.num_steps:
            self.save()  # the run was killed between the checkpoint and the note, or a file was lost
            return
        recipe, process = self.recipe, self.process
        order = TrainingOrder(recipe, self.dataset, step=self.step, rank=process.rank, world_size=process.world_size)
        steps = load_steps(recipe, self.dataset, order, pin_memory=process.device.type == "cuda")
        stopwatch = Stopwatch(steps)
        progress = TrainingProgress(self.num_steps, self.step, recipe.data.batch_size, process.is_first)
        if process.is_first:
            self.curves = monitor.Curves(self.out, self.step, open_tracker(recipe, self.out))
        curves = contextlib.closing(self.curves) if self.curves else contextlib.nullcontext()
        # Loaders end only with their iterator: if an error's traceback held on to it, this process would never end.
        with contextlib.closing(steps), self.writer, progress, curves:
            for batches in stopwatch:
                epoch = self.epoch
                self.probe.is_on = is_logged = (self.step + 1) % recipe.run.log_steps == 0 or self.step == 0
                parts = [prepare(batch.views, recipe, batch.seeds, process.device) for batch in batches]
                try:
                    result = self.train_step(parts, self.step)
                except NonFiniteLossError as error:
                    details = diagnosis.describe(self.model, self.optimizer, error.logits)
                    raise self._failed(str(error), details) from None
                self.step += 1
                self.watched.add(result.logits, batches)
                # Reading them in every step would make the host wait for the device.
                is_read = is_logged or self.step == self.num_steps
                statistics = monitor.loss_statistics(result.loss) if is_read else {}
                progress.update(self.step, epoch, statistics)
                if is_logged:
                    decayed = self.optimizer.param_groups[0]
                    statistics |= {"lr": decayed["lr"], "weight_decay": decayed["weight_decay"]}
                    statistics |= monitor.prediction_statistics(result.logits) | self.probe.read(result.grad_scale)
                    self._observe("step", statistics | stopwatch.lap(recipe.data.batch_size), epoch)
                if self.step % self.steps_per_epoch == 0:
                    self._end_epoch(epoch)
                self.writer.check()
                if self.step < self.num_steps and any_process(self.request.is_made, process):
                    self.save()
                    self.writer.wait()
                    # When one process ends, torchrun ends the run and gives the others only seconds.
                    wait_for_all(process)
                    raise Preempted(
                        f"stopped at step {self.step} (epoch {self.epoch + 1}) as asked: {self.out / CHECKPOINT_NAME} "
                        "is written, start the same command again to resume"
                    )

    def _observe(self, kind: str, statistics: monitor.Statistics, epoch: int) -> None:
        """Logs the statistics and passes them to the sentinel, which may stop the run."""
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
        """Logs the epoch and, if one is due, writes a checkpoint."""
        self._observe("epoch", self.watched.statistics(self.process.device), epoch)
        if self.process.is_first and (note := self.watched.unreadable_note()):
            print(f"warning: epoch {epoch + 1}: {note}", file=sys.stderr)
        self.watched = monitor.WatchedEpoch(self.dataset.num_labels)
        run, ends = self.recipe.run, (self.recipe.epochs, self.recipe.total_epochs)
        is_kept = run.keep_epochs is not None and self.epoch % run.keep_epochs == 0
        if self.epoch in ends or self.epoch % run.checkpoint_epochs == 0 or is_kept:
            self.save(is_kept)

    def save(self, is_kept: bool = False) -> None:
        """Starts writing a checkpoint of the current state; after the last step, also writes the backbone and waits.

        Args:
            is_kept: also keep this checkpoint permanently.

        Raises:
            TrainingError: a weight is not finite; nothing is written.
            OSError: the previous checkpoint could not be written.
        """
        if not monitor.all_finite(self.model):
            raise self._failed("a weight is not finite", diagnosis.describe(self.model, self.optimizer))
        for network in (self.model, self.teacher):
            if network is not None:
                average_running_statistics(network, self.process)
        watched = self.watched.state_dict()
        if not self.process.is_first:
            return
        is_finished = self.step == self.num_steps
        if is_finished:
            self.writer.wait()
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
            "optimizer": host_copy(self.optimizer.state_dict()),
            "scaler": self.train_step.scaler.state_dict(),
            "sentinel": self.sentinel.state_dict(),
            "watched": watched,
        }
        if is_kept:
            self.writer.start(partial(checkpoint.save_and_keep, self.out, self.epoch, content))
        else:
            self.writer.start(partial(checkpoint.save, self.out / CHECKPOINT_NAME, content))
        if is_finished:
            self.writer.wait()
            write_note(self.out, self.recipe, self.train_step.precision)
            print(f"finished: {self.out / BACKBONE_NAME}")

    def _failed(self, what: str, details: str) -> TrainingError:
        return TrainingError(
            f"{what} at step {self.step + 1} (epoch {self.epoch + 1}): {self._what_is_left()}; "
            f"a lower optim.lr or another seed, with another --out, may help{details}"
        )

    def _what_is_left(self) -> str:
        self.writer.wait()
        last = self.out / CHECKPOINT_NAME
        return f"the last good checkpoint is {last}" if last.is_file() else "no checkpoint was written yet"
