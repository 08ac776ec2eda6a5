"""Trains many heads on a frozen backbone, and scores them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.tasks.classification.checkpoints import Checkpoints
from transfer.tasks.classification.curves import EVERY_STEPS, curves
from transfer.tasks.classification.frozen_features import FrozenFeatures
from transfer.tasks.classification.group import Group
from transfer.tasks.classification.heads import Heads, ranks
from transfer.tasks.classification.labelled import LabelledImages
from transfer.tasks.classification.loader import batches, default_workers, training_batches
from transfer.tasks.classification.order import Order
from transfer.tasks.classification.sgd import lr_factor
from transfer.tasks.classification.transforms import Transform


@dataclass(frozen=True, kw_only=True)
class HeadsTraining:
    """What the heads are trained on.

    Attributes:
        held_out: (N,), whether a training image is left out for all heads but the first, the official one.
        view: random views of the images.
        seed: draws the order of the images and their views.
        checkpoints: of this training; the last one holds the result.
        curves: folder for TensorBoard.
        done: called in the first process with steps done and steps in all.
    """

    images: LabelledImages
    held_out: NDArray[np.bool_]
    view: Transform
    epochs: int
    batch_size: int
    seed: int
    checkpoints: Checkpoints
    curves: Path
    done: Callable[[int, int], None] = lambda step, num_steps: None

    @property
    def order(self) -> Order:
        return Order(num_images=len(self.images), batch_size=self.batch_size, seed=self.seed, whole_batches=False)


def train_heads(heads: Heads, features: FrozenFeatures, training: HeadsTraining, group: Group) -> None:
    """Trains the heads in place; the result is in the last checkpoint too.

    A training that was killed goes on from its checkpoint to the same weights, bit for bit on CPU.

    Raises:
        FloatingPointError: the official head's loss is not a number. Candidates may diverge.
    """
    checkpoints, num_steps = training.checkpoints, training.epochs * training.order.steps_per_epoch
    features.to(group.device)
    first_step = 0
    if saved := checkpoints.load():
        heads.load_state(saved["heads"])
        first_step = int(saved["step"])
    if first_step == num_steps:
        return
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(curves(training.curves, first_step)) if group.is_first else None
        for step, losses in _steps(heads, features, training, group, range(first_step, num_steps)):
            if step % EVERY_STEPS == 0 or step == num_steps:
                official = losses[0].item()
                if not np.isfinite(official):
                    raise FloatingPointError(f"the official head's loss is {official} at step {step}")
                if writer:
                    writer.add_scalar("train/loss_official", official, step)
                    writer.add_scalar("train/loss_least", losses.nan_to_num(nan=float("inf")).min().item(), step)
            if group.is_first and (checkpoints.due() or step == num_steps):
                checkpoints.save({"heads": heads.state(), "step": step})
            if group.is_first:
                training.done(step, num_steps)


def _steps(
    heads: Heads, features: FrozenFeatures, training: HeadsTraining, group: Group, steps: range
) -> Iterator[tuple[int, Tensor]]:
    """Takes the steps; yields how many are done, and each head's loss in the last one."""
    order, num_steps = training.order, steps.stop
    for batch in training_batches(
        training.images,
        training.view,
        order,
        steps=steps,
        rank=group.rank,
        num_processes=group.num_processes,
        num_workers=default_workers(group.device, group.num_processes),
    ):
        counted = torch.ones(len(batch.rows), len(heads))
        counted[torch.from_numpy(training.held_out[batch.rows]), 1:] = 0
        losses = heads.step(
            features(batch.views.to(group.device, non_blocking=True)),
            torch.from_numpy(training.images.labels[batch.rows]).to(group.device),
            counted.to(group.device),
            lr_factor=lr_factor(batch.step, num_steps, 0, steps_per_epoch=order.steps_per_epoch),
            group=group,
        )
        yield batch.step + 1, losses


@torch.no_grad()
def ranks_of(
    heads: Heads,
    features: FrozenFeatures,
    images: LabelledImages,
    view: Transform,
    *,
    batch_size: int,
    device: str,
    done: Callable[[int], None] = lambda rows: None,
) -> NDArray[np.int64]:
    """:func:`transfer.tasks.classification.heads.ranks` of every image: (N, H).

    Args:
        done: called with the number of images done.
    """
    found: list[Tensor] = []
    num_done = 0
    for views in batches(images, view, batch_size=batch_size, num_workers=default_workers(device)):
        labels = torch.from_numpy(images.labels[num_done : num_done + len(views)]).to(device)
        found.append(ranks(heads.logits(features(views.to(device, non_blocking=True))), labels).cpu())
        num_done += len(views)
        done(num_done)
    return torch.cat(found).numpy()
