"""Fine-tuning of a backbone and a fresh linear head by SGD, in one process or several, and the final scoring."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from transfer.record import Metric
from transfer.streams import Stream, torch_seed
from transfer.tasks.classification.datasets.labelled import LabelledImages, Splits
from transfer.tasks.classification.loader import (
    Order,
    View,
    scoring_view,
    training_batches,
    training_view,
)
from transfer.tasks.classification.precision import computed_in, place
from transfer.tasks.classification.protocol import FinetuneProtocol, GridProtocol, Precision, num_parts, resolved
from transfer.tasks.classification.scoring import figures, floor, outcomes, outputs
from transfer.tasks.classification.sgd import (
    Norms,
    SgdSettings,
    lr_factor,
    make_optimizer,
    set_learning_rates,
)
from transfer.tasks.classification.training import Group, Training, sum_over_processes
from transfer.trial import Outcome, Trial
from transfer.weights.backbone import Backbone
from transfer.weights.of_trial import torch_backbone

Protocol = FinetuneProtocol | GridProtocol


def training_order(
    num_images: int, batch_size: int, seed: int = 0, *, norm_batch: int | None = None, whole_batches: bool = True
) -> Order:
    """The order of a training whose steps are divided into parts of at most ``norm_batch`` images."""
    parts = num_parts(min(batch_size, num_images), norm_batch)
    return Order(
        num_images=num_images,
        batch_size=batch_size,
        seed=seed,
        whole_batches=whole_batches,
        parts=None if whole_batches else parts,
    )


def checkpoint_path(trial: Trial, name: str) -> Path:
    """Where :func:`fit` writes its checkpoint; to be removed once the result is recorded elsewhere."""
    return trial.work_dir / f"{name}.pth"


def fit(
    trial: Trial,
    protocol: Protocol,
    images: LabelledImages,
    settings: SgdSettings,
    *,
    group: Group,
    name: str,
    done: Callable[[int, int], None],
) -> tuple[nn.Sequential, Backbone]:
    """The classifier after its last step: (B, 3, H, W) to logits (B, C).

    A training that was killed is resumed from its checkpoint to the same weights, bit for bit on CPU.

    Args:
        images: the labelled images only.
        group: the processes that train it together.
        name: of its checkpoint and curves, one for each training of the trial.
        done: see :class:`transfer.tasks.classification.training.Training`.

    Raises:
        UserError: a bad checkpoint of the backbone.
        FloatingPointError: the loss is not a number.
    """
    module, backbone = torch_backbone(trial)
    torch.manual_seed(torch_seed(trial.seed, Stream.NETWORK))
    head = nn.Linear(module.num_features, len(images.classes))
    generator = torch.Generator().manual_seed(torch_seed(trial.seed, Stream.LINEAR_HEADS))
    nn.init.normal_(head.weight, std=protocol.head_std, generator=generator)
    nn.init.zeros_(head.bias)
    model = nn.Sequential(module, head).train()
    place(model, protocol.precision, group.device)
    optimizer = make_optimizer(module, head, settings)
    shown = images.kept() if protocol.views.is_small else images
    view = training_view(protocol.views, backbone.arch, backbone.preprocessing)

    def load(state: dict[str, Any]) -> None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])

    Training(
        checkpoint_path(trial, name),
        f"{trial.benchmark.name} version {trial.benchmark.protocol_version} seed {trial.seed} on {trial.device}\n"
        f"weights {backbone.sha256} {trial.weights.taken}\n"
        f"images {images.names_sha256()} of {trial.data}\n{dataclasses.asdict(settings)}\n{protocol.views}\n"
        f"head {protocol.head_std} {protocol.precision}\n",
        num_steps=settings.num_steps,
        curves=trial.work_dir / "tensorboard" / name,
        group=group,
        done=done,
    ).run(
        lambda steps: _take(model, optimizer, settings, shown, view, trial.seed, group, protocol.precision, steps),
        state=lambda: {"model": model.state_dict(), "optimizer": optimizer.state_dict()},
        load=load,
        scalars=lambda loss: {
            "loss": sum_over_processes(loss, group).item(),
            "lr_head": optimizer.param_groups[-1]["lr"],
        },
    )
    return model, backbone


def _take(
    model: nn.Sequential,
    optimizer: torch.optim.SGD,
    settings: SgdSettings,
    images: LabelledImages,
    view: View,
    seed: int,
    group: Group,
    precision: Precision,
    steps: range,
) -> Iterator[tuple[int, Tensor]]:
    """Takes the steps; yields how many are done, and this process's part of the last one's loss.

    The gradient of a step's mean loss is accumulated part by part. Running statistics follow the first part of the
    first process alone, as in plain data-parallel training, so that they are the same for any number of processes.
    """
    order = training_order(
        len(images), settings.batch_size, seed, norm_batch=settings.norm_batch, whole_batches=settings.whole_batches
    )
    held_steps = order.steps_per_epoch if settings.cosine == "epoch" else 1
    norms = Norms(model, settings.norm_momentum)
    shared = DistributedDataParallel(model, broadcast_buffers=False) if group.num_processes > 1 else model
    for batch in training_batches(images, view, order, steps=steps, group=group):
        factor = lr_factor(batch.step, settings.num_steps, settings.warmup_steps, steps_per_epoch=held_steps)
        set_learning_rates(optimizer, factor)
        optimizer.zero_grad(set_to_none=True)
        num_images = len(batch.rows) * group.num_processes
        parts = num_parts(min(settings.batch_size, len(images)), settings.norm_batch) // group.num_processes
        targets = torch.from_numpy(images.labels[batch.rows])
        total = torch.zeros((), device=group.device)
        for number, (views, expected) in enumerate(
            zip(batch.views.tensor_split(parts), targets.tensor_split(parts), strict=True)
        ):
            is_synced = number == parts - 1 or group.num_processes == 1
            with (
                contextlib.nullcontext() if is_synced else cast(DistributedDataParallel, shared).no_sync(),
                norms.tracking(number == 0 and group.is_first),
            ):
                with computed_in(precision, group.device):
                    logits = shared(view.scaled(views.to(group.device, non_blocking=True)))
                loss = summed_loss(logits.float(), expected.to(group.device, non_blocking=True)) / num_images
                with computed_in("fp32", group.device):  # what was autocast is so on the way back, too
                    (loss * group.num_processes).backward()  # data-parallel training takes the mean over processes
            total += loss.detach()
        optimizer.step()
        yield batch.step + 1, total


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum of the images' losses.

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


def scored(
    trial: Trial,
    protocol: Protocol,
    difference: list[str],
    fitted: tuple[nn.Module, Backbone],
    splits: Splits,
    labelled: LabelledImages,
    *,
    choices: dict[str, Any],
    **facts: str,
) -> Outcome:
    """The outcome of a classifier: the test images are opened, scored once, and the floor is recorded beside them.

    Args:
        fitted: what :func:`fit` returned.
        labelled: the images that it was trained on.
        facts: for :func:`transfer.tasks.classification.protocol.resolved`.

    Raises:
        UserError: the test images are missing or damaged.
    """
    (model, backbone), test, metric = fitted, splits.test.open(), splits.row.metric
    logits = outputs(
        model,
        test,
        scoring_view(protocol.views, backbone.arch, backbone.preprocessing),
        batch_size=protocol.test_batch_size,
        device=trial.device,
        precision=protocol.precision,
        done=lambda rows: trial.progress(rows, len(test), "test images"),
    )
    return Outcome(
        metrics={name: Metric(value=value) for name, value in figures(logits, test.labels, metric).items()},
        references=floor(labelled.labels, test, metric),
        test_scorings=splits.test.scorings,
        choices=choices,
        outcomes=outcomes(logits, test.labels, metric),
        resolved_config=resolved(trial.benchmark, protocol, **facts),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )
