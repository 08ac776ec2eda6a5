"""Fine-tuning of a backbone and a fresh linear head by SGD, in one process or several, in one go or many."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pretrain.model import Backbone as BackboneModule
from transfer.tasks.classification.checkpoints import Checkpoints
from transfer.tasks.classification.curves import EVERY_STEPS, curves
from transfer.tasks.classification.group import Group
from transfer.tasks.classification.labelled import LabelledImages
from transfer.tasks.classification.loader import TrainingBatch, default_workers, training_batches
from transfer.tasks.classification.norms import Norms, num_parts
from transfer.tasks.classification.order import Order
from transfer.tasks.classification.sgd import SgdSettings, lr_factor, make_optimizer, set_learning_rates
from transfer.tasks.classification.transforms import Transform


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained on what.

    Attributes:
        images: the labelled images only.
        view: random views of them.
        seed: draws the order of the images and their views.
        checkpoints: of this training; the last one holds the result.
        curves: folder for TensorBoard.
        done: called in the first process with steps done and steps in all.
    """

    images: LabelledImages
    view: Transform
    settings: SgdSettings
    seed: int
    checkpoints: Checkpoints
    curves: Path
    done: Callable[[int, int], None] = lambda step, num_steps: None

    @property
    def order(self) -> Order:
        return training_order(len(self.images), self.settings.batch_size, self.seed)


def training_order(num_images: int, batch_size: int, seed: int) -> Order:
    """Whole batches, for batch norm's sake; one smaller batch where there are fewer images."""
    return Order(num_images=num_images, batch_size=min(batch_size, num_images), seed=seed, whole_batches=True)


def new_classifier(backbone: BackboneModule, num_classes: int, *, head_std: float, seed: int) -> nn.Sequential:
    """Backbone and linear head: (B, 3, H, W) to logits (B, C).

    Args:
        head_std: of the head's weights, drawn from a normal distribution by the seed; the biases are 0.
    """
    head = nn.Linear(backbone.num_features, num_classes)
    nn.init.normal_(head.weight, std=head_std, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(head.bias)
    return nn.Sequential(backbone, head)


def finetune(model: nn.Sequential, training: Training, group: Group) -> None:
    """Trains backbone and head in place; the weights after the last step are the result, in the checkpoint too.

    A training that was killed goes on from its checkpoint to the same weights, bit for bit on CPU.

    Raises:
        FloatingPointError: the loss is not a number.
    """
    settings, checkpoints = training.settings, training.checkpoints
    model.to(group.device).train()
    optimizer = make_optimizer(model[0], model[1], settings)
    first_step = _resumed(model, optimizer, checkpoints)
    if first_step == settings.num_steps:
        return
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(curves(training.curves, first_step)) if group.is_first else None
        for step, loss in _steps(model, optimizer, training, group, first_step):
            if step % EVERY_STEPS == 0 or step == settings.num_steps:
                value = _finite(loss, step)
                if writer:
                    writer.add_scalar("train/loss", value, step)
                    writer.add_scalar("train/lr_head", optimizer.param_groups[-1]["lr"], step)
            if group.is_first and (checkpoints.due() or step == settings.num_steps):
                checkpoints.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step})
            if group.is_first:
                training.done(step, settings.num_steps)


def _resumed(model: nn.Module, optimizer: torch.optim.Optimizer, checkpoints: Checkpoints) -> int:
    """Takes up what a killed run left; steps that are done."""
    saved = checkpoints.load()
    if saved is None:
        return 0
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def _steps(
    model: nn.Sequential, optimizer: torch.optim.SGD, training: Training, group: Group, first_step: int
) -> Iterator[tuple[int, Tensor]]:
    """Takes the steps that are left; yields how many are done, and this process's part of the last one's loss."""
    settings, order = training.settings, training.order
    norms = Norms(model, settings.norm_momentum)
    shared = DistributedDataParallel(model, broadcast_buffers=False) if group.num_processes > 1 else model
    steps_per_epoch = order.steps_per_epoch if settings.cosine == "epoch" else 1
    for batch in training_batches(
        training.images,
        training.view,
        order,
        steps=range(first_step, settings.num_steps),
        rank=group.rank,
        num_processes=group.num_processes,
        num_workers=default_workers(group.device, group.num_processes),
    ):
        factor = lr_factor(batch.step, settings.num_steps, settings.warmup_steps, steps_per_epoch=steps_per_epoch)
        set_learning_rates(optimizer, factor)
        optimizer.zero_grad(set_to_none=True)
        loss = _backward(shared, norms, batch, training, group)
        optimizer.step()
        yield batch.step + 1, loss


def _backward(model: nn.Module, norms: Norms, batch: TrainingBatch, training: Training, group: Group) -> Tensor:
    """Gradients of the whole step's mean loss, made up part by part; returns this process's part of the loss.

    Running statistics follow the first part of the first process alone, as in plain data-parallel training, so that
    they are the same for any number of processes.
    """
    num_images = len(batch.rows) * group.num_processes
    parts = num_parts(num_images, training.settings.norm_batch) // group.num_processes
    labels = torch.from_numpy(training.images.labels[batch.rows])
    total = torch.zeros((), device=group.device)
    for number, (views, targets) in enumerate(
        zip(batch.views.tensor_split(parts), labels.tensor_split(parts), strict=True)
    ):
        is_last = number == parts - 1
        alone = contextlib.nullcontext() if is_last or group.num_processes == 1 else _unsynced(model)
        with alone, norms.tracking(number == 0 and group.is_first):
            with torch.autocast(group.device, torch.bfloat16, enabled=group.device == "cuda"):
                logits = model(views.to(group.device, non_blocking=True))
            loss = summed_loss(logits.float(), targets.to(group.device)) / num_images
            (loss * group.num_processes).backward()  # data-parallel training takes the mean over processes
        total += loss.detach()
    return total


def _unsynced(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    return cast(contextlib.AbstractContextManager[None], cast(DistributedDataParallel, model).no_sync())


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The images' losses, added up.

    Args:
        logits: (B, C).
        targets: (B,) classes: cross-entropy. (B, C) with 1 present, 0 absent, -1 not to be counted: each image's mean
            binary cross-entropy over the classes that count.
    """
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets, reduction="sum")
    counted = (targets >= 0).float()
    losses = F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0).float(), reduction="none")
    return ((losses * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)).sum()


def _finite(loss: Tensor, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss is {value} at step {step}: the learning rate is too high")
    return value
