"""The training loop: from a recipe and a folder of images to ``OUT/checkpoint.pth`` and ``OUT/backbone.pth``."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from common.errors import UserError
from common.files import make_dir
from pretrain import checkpoint, monitor
from pretrain.augment import Views
from pretrain.checkpoint import Content
from pretrain.data import TrainingOrder, TwistDataset, build_loader
from pretrain.distributed import Process, gather, sync_batch_norms
from pretrain.finished import BACKBONE_NAME, CHECKPOINT_NAME, write_note
from pretrain.loss import TwistLoss, multicrop_twist_loss
from pretrain.model import ProjectionHead, TwistModel, build_backbone
from pretrain.optim import build_optimizer
from pretrain.progress import TrainingProgress
from pretrain.recipe import NUM_GLOBAL_CROPS, Recipe, as_dict, recipe_sha256
from pretrain.schedule import default_warmup_epochs, scaled_lr, warmup_cosine


class TrainingError(RuntimeError):
    """The run cannot go on; the message says why and what is left of it."""


def train(recipe: Recipe, *, data: Path, out: Path, process: Process) -> None:
    """Trains to the recipe's last epoch, going on from the checkpoint in ``out`` if there is one.

    Args:
        data: see :func:`pretrain.data.find_train_folder`.
        out: made if need be; a finished run in it is left as it is.

    Raises:
        UserError: see :func:`pretrain.checkpoint.load_for_resume` and :class:`pretrain.data.TwistDataset`.
        TrainingError: the loss or the weights are no longer finite.
    """
    saved = checkpoint.load_for_resume(out, recipe)
    dataset = TwistDataset(data, recipe)
    if saved and saved["data_sha256"] != dataset.sha256:
        raise UserError(f"{out / CHECKPOINT_NAME} was trained on other images than {data}: choose another --out")
    with _sole_use(out, process):
        trainer = Trainer(recipe, dataset, out, process)
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


@dataclass
class EpochPredictions:
    """Argmax of the first view, and the labels, of this process's images since the epoch began."""

    predictions: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, logits_VBC: Tensor, labels: Tensor) -> None:  # noqa: N803 - views, images, classes
        """Takes in one step."""
        self.predictions.append(logits_VBC[0].detach().argmax(dim=-1))
        self.labels.append(labels.to(logits_VBC.device))


class Trainer:
    """The state of a run and what is done with it.

    Attributes:
        step: steps done since the start of the run.
        epoch: epochs done.
    """

    def __init__(self, recipe: Recipe, dataset: TwistDataset, out: Path, process: Process) -> None:
        self.recipe, self.dataset, self.out, self.process = recipe, dataset, out, process
        self.step = self.epoch = 0
        torch.manual_seed(recipe.seed)
        backbone = build_backbone(recipe.model.backbone)
        head = ProjectionHead(backbone.num_features, recipe.model.hidden, recipe.model.num_classes)
        self.model = TwistModel(backbone, head)
        sync_batch_norms(self.model, process)
        # Twice as fast as row-major where the maps are small, on CPUs and GPUs alike.
        self.model.to(process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(recipe.optim, self.model)
        self.probe = monitor.NbsProbe(self.model.head.nbs)

    def resume(self, saved: Content) -> None:
        """Takes over the state of a checkpoint, to the bit."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"]["torch"])
        self.step, self.epoch = saved["step"], saved["epoch"]
        if self.process.is_first:
            print(f"going on from {self.out / CHECKPOINT_NAME}: {self.epoch} of {self.recipe.epochs} epochs done")

    def run(self) -> None:
        """Trains the epochs that are left, then writes the backbone and, last, the finished checkpoint."""
        order = TrainingOrder(
            self.recipe,
            len(self.dataset),
            first_epoch=self.epoch,
            rank=self.process.rank,
            world_size=self.process.world_size,
        )
        loader = build_loader(self.recipe, self.dataset, order, pin_memory=self.process.device.type == "cuda")
        model: nn.Module = self.model
        if self.process.world_size > 1:
            model = DistributedDataParallel(self.model)
        num_steps = self.recipe.epochs * order.steps_per_epoch
        progress = TrainingProgress(num_steps, self.step, self.recipe.data.batch_size, self.process.is_first)
        curves = monitor.Curves(self.out, self.step) if self.process.is_first else None
        seen = EpochPredictions()
        if self.epoch == self.recipe.epochs and self.process.is_first:
            self._save(is_finished=True)  # killed between the checkpoint and the note, or a file was lost
        with progress, contextlib.closing(curves) if curves else contextlib.nullcontext():
            for views, labels in loader:
                self._set_lr(order.steps_per_epoch)
                is_logged = (self.step + 1) % self.recipe.run.log_steps == 0 or self.step == 0
                loss, logits = self._train_step(model, views, is_logged)
                self.step += 1
                seen.add(logits, labels)
                terms = monitor.loss_statistics(loss)
                progress.update(self.step, self.epoch, terms)
                if is_logged and curves:
                    curves.write("step", self.step, self.epoch, {**terms, **self._step_statistics(logits)})
                if self.step % order.steps_per_epoch == 0:
                    self._end_epoch(seen, curves)
                    seen = EpochPredictions()

    def _set_lr(self, steps_per_epoch: int) -> None:
        recipe = self.recipe
        warmup_epochs = recipe.schedule.warmup_epochs
        if warmup_epochs is None:
            warmup_epochs = default_warmup_epochs(recipe.epochs)
        peak = scaled_lr(recipe.optim.lr, recipe.data.batch_size)
        lr = warmup_cosine(
            self.step,
            num_steps=recipe.epochs * steps_per_epoch,
            warmup_steps=round(warmup_epochs * steps_per_epoch),
            peak=peak,
            final=peak * recipe.schedule.final_lr_ratio,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def _train_step(self, model: nn.Module, views: Views, is_logged: bool) -> tuple[TwistLoss, Tensor]:
        """One step of the optimiser; gives the loss and the logits (V, B, C) of this process's images."""
        device, settings = self.process.device, self.recipe.loss
        self.probe.is_on = is_logged
        views = [view.to(device, non_blocking=True, memory_format=torch.channels_last) for view in views]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(views)
        loss = multicrop_twist_loss(
            logits, NUM_GLOBAL_CROPS, alpha=settings.alpha, beta=settings.beta, eps=settings.eps
        )
        if not torch.isfinite(loss.total):
            raise self._failed(f"the loss is {loss.total.item()}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        if self.recipe.optim.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip_norm)
        self.optimizer.step()
        return loss, logits.detach()

    def _step_statistics(self, logits: Tensor) -> monitor.Statistics:
        return {
            "lr": self.optimizer.param_groups[0]["lr"],
            "agreement": monitor.agreement(logits),
            "batch_used_classes": float(logits[0].argmax(dim=-1).unique().numel()),
            **self.probe.read(),
        }

    def _end_epoch(self, seen: EpochPredictions, curves: monitor.Curves | None) -> None:
        predictions = gather(torch.cat(seen.predictions), self.process)
        labels = gather(torch.cat(seen.labels), self.process)
        if curves:
            known = labels if self.dataset.num_labels > 1 else None
            curves.write("epoch", self.step, self.epoch, monitor.epoch_statistics(predictions, known))
        self.epoch += 1
        is_finished = self.epoch == self.recipe.epochs
        if is_finished or self.epoch % self.recipe.run.checkpoint_epochs == 0:
            if not monitor.all_finite(self.model):
                raise self._failed("a weight is not finite")
            if self.process.is_first:
                self._save(is_finished)

    def _save(self, is_finished: bool) -> None:
        if is_finished:
            checkpoint.export_backbone(self.out / BACKBONE_NAME, self.model, self.recipe)
        content = {
            "arch": self.recipe.model.backbone,
            "recipe": as_dict(self.recipe),
            "recipe_sha256": recipe_sha256(self.recipe),
            "data_sha256": self.dataset.sha256,
            "epoch": self.epoch,
            "step": self.step,
            "finished": is_finished,
            "model": checkpoint.model_state(self.model),
            "optimizer": self.optimizer.state_dict(),
            "rng": {"torch": torch.get_rng_state()},
        }
        checkpoint.save(self.out / CHECKPOINT_NAME, content)
        if is_finished:
            write_note(self.out, self.recipe)
            print(f"finished: {self.out / BACKBONE_NAME}")

    def _failed(self, what: str) -> TrainingError:
        last = self.out / CHECKPOINT_NAME
        left = f"the last good checkpoint is {last}" if last.is_file() else "no checkpoint was written yet"
        return TrainingError(
            f"{what} at step {self.step + 1} (epoch {self.epoch + 1}): {left}; "
            "a lower optim.lr or another seed, with another --out, may help"
        )
