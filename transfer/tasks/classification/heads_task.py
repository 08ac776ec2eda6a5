"""Many linear heads on the frozen backbone: the official one, and one chosen on held-out training images."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretrain.model import VITS
from transfer.outcomes.file import packed
from transfer.outcomes.labels import Hits
from transfer.record import Metric
from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets import splits_of
from transfer.tasks.classification.datasets.labelled import LabelledImages, even_rows
from transfer.tasks.classification.heads import FrozenFeatures, Heads, feature_sizes, ranks
from transfer.tasks.classification.loader import (
    Order,
    batches,
    scoring_view,
    training_batches,
    training_view,
)
from transfer.tasks.classification.precision import place
from transfer.tasks.classification.protocol import HeadSetting, HeadsProtocol, resolved
from transfer.tasks.classification.scoring import floor
from transfer.tasks.classification.sgd import lr_factor
from transfer.tasks.classification.training import Group, Training, num_devices, this_group, train_in_processes
from transfer.trial import Outcome, Trial
from transfer.weights.backbone import Backbone
from transfer.weights.of_trial import torch_backbone
from twist_common.errors import unknown_name

OFFICIAL = 0  # its index among the heads
CHECKPOINT = "checkpoint.pth"


@dataclass(frozen=True)
class Trained:
    """The heads after the last step, with the backbone under them."""

    heads: Heads
    features: FrozenFeatures
    backbone: Backbone


def run(trial: Trial, protocol: HeadsProtocol, difference: list[str], num_processes: int | None = None) -> Outcome:
    """Trains the heads, chooses one, then looks at the test images once.

    Args:
        num_processes: that train together; None: one per GPU of the trial. The result does not depend on their number.

    Raises:
        UserError: a bad checkpoint or data folder.
    """
    splits = splits_of(trial)
    train_in_processes(train, trial, protocol, num_processes or num_devices(trial))
    trained = train(trial, protocol, splits.train)  # or loads what the processes trained
    held_out = held_out_rows(splits.train, protocol, trial.seed)
    held_out_ranks = _ranks(trial, protocol, trained, splits.train.subset(held_out), "held-out images")
    chosen = chosen_head(held_out_ranks)
    test = splits.test.open()
    test_ranks = _ranks(trial, protocol, trained, test, "test images")
    (trial.work_dir / CHECKPOINT).unlink()
    best = [k for k in (1, 5) if k < len(test.classes)]
    hits = {
        f"top{k}{which}": test_ranks[:, head] < k for which, head in (("", OFFICIAL), ("_chosen", chosen)) for k in best
    }
    return Outcome(
        metrics={name: Metric(value=100 * float(is_right.mean())) for name, is_right in hits.items()},
        outcomes=packed(Hits(test.labels, hits)),
        references=floor(splits.train.labels, test, "top1"),
        test_scorings=splits.test.scorings,
        inflated={"top1": max(top(column, 1) for column in test_ranks.T)},
        choices={
            **dataclasses.asdict(trained.heads.settings[chosen]),
            "val_top1": top(held_out_ranks[:, chosen], 1),
            "val_images": len(held_out),
            "candidates": len(trained.heads) - 1,
        },
        resolved_config=resolved(trial.benchmark, protocol),
        protocol_difference=difference,
        arch=trained.backbone.arch,
        source_format=trained.backbone.source_format,
    )


def head_settings(protocol: HeadsProtocol, arch: str) -> list[HeadSetting]:
    """The official head of the architecture, then the candidates.

    ViTs other than DeiT-S have ViT-B's official head; networks of timm, whose feature is pooled, a ResNet's.

    Raises:
        UserError: the official head is on a feature that the architecture does not have.
    """
    official = protocol.vit_base if arch in VITS else protocol.resnet
    if arch == "deit_small":
        official = protocol.deit_small
    features = feature_sizes(arch, 1)
    if official.feature not in features:
        raise unknown_name(f"feature of {arch}", official.feature, features)
    grid = itertools.product(features, protocol.lrs, protocol.weight_decays)
    return [official, *(HeadSetting(feature=feature, lr=lr, weight_decay=decay) for feature, lr, decay in grid)]


def held_out_rows(train: LabelledImages, protocol: HeadsProtocol, seed: int) -> NDArray[np.int64]:
    """The training images by which a candidate is chosen, and which no candidate is trained on."""
    return even_rows(train.labels, protocol.val_fraction, rng(seed, Stream.HELD_OUT))


def chosen_head(ranks: NDArray[np.int64]) -> int:
    """The candidate that is right for most of the held-out images; of equals, the one with the least mean rank.

    Args:
        ranks: (N, H), the official head's first, which has been trained on these images and cannot be chosen.
    """
    candidates = range(OFFICIAL + 1, ranks.shape[1])
    return max(candidates, key=lambda head: (top(ranks[:, head], 1), -float(ranks[:, head].mean())))


def top(ranks: NDArray[np.int64], k: int) -> float:
    """Share of images whose class is among the k first, in percent."""
    return 100 * float((ranks < k).mean())


def train(trial: Trial, protocol: HeadsProtocol, images: LabelledImages | None = None) -> Trained:
    """The heads after their last step, in this process or in this one's group of processes.

    A training that was killed is resumed from its checkpoint to the same weights, bit for bit on CPU.

    Args:
        images: of the training split; None lists them anew.

    Raises:
        FloatingPointError: the official head's loss is not a number. Candidates may diverge.
    """
    images, group = splits_of(trial).train if images is None else images, this_group(trial.device)
    module, backbone = torch_backbone(trial)
    place(module, protocol.precision, group.device)
    features = FrozenFeatures(module, backbone.arch, protocol.precision)
    heads = Heads(
        head_settings(protocol, backbone.arch),
        feature_sizes(backbone.arch, module.num_features),
        len(images.classes),
        head_std=protocol.head_std,
        momentum=protocol.momentum,
        seed=trial.seed,
        device=trial.device,
    )
    trained = Trained(heads, features, backbone)
    order = Order(num_images=len(images), batch_size=protocol.batch_size, seed=trial.seed, whole_batches=False)
    Training(
        trial.work_dir / CHECKPOINT,
        f"{resolved(trial.benchmark, protocol)}version {trial.benchmark.protocol_version} seed {trial.seed}\n"
        f"weights {backbone.sha256} {trial.weights.taken}\n"
        f"images {images.names_sha256()}\ndata {trial.data}\ndevice {trial.device}\n",
        num_steps=protocol.epochs * order.steps_per_epoch,
        curves=trial.work_dir / "tensorboard",
        group=group,
        done=lambda step, num_steps: trial.progress(step, num_steps, "heads"),
    ).run(
        lambda steps: _take(protocol, trained, images, order, group, steps),
        state=lambda: {"heads": heads.state()},
        load=lambda state: heads.load_state(state["heads"]),
        scalars=lambda losses: {
            "loss_official": losses[OFFICIAL].item(),
            "loss_least": losses.nan_to_num(nan=math.inf).min().item(),
        },
    )
    return trained


def _take(
    protocol: HeadsProtocol, trained: Trained, images: LabelledImages, order: Order, group: Group, steps: range
) -> Iterator[tuple[int, Tensor]]:
    """Takes the steps; yields how many are done, and each head's loss in the last one."""
    is_held_out = np.zeros(len(images), dtype=bool)
    is_held_out[held_out_rows(images, protocol, order.seed)] = True
    view = training_view(protocol.views, trained.backbone.arch, trained.backbone.preprocessing)
    shown = images.kept() if protocol.views.is_small else images
    for batch in training_batches(shown, view, order, steps=steps, group=group):
        labels, held_out = (
            torch.from_numpy(values[batch.rows]).to(group.device, non_blocking=True)
            for values in (images.labels, is_held_out)
        )
        counted = torch.ones(len(batch.rows), len(trained.heads), device=group.device)
        counted[:, OFFICIAL + 1 :] = ~held_out[:, None]
        losses = trained.heads.step(
            trained.features(view.scaled(batch.views.to(group.device, non_blocking=True))),
            labels,
            counted,
            lr_factor=lr_factor(batch.step, steps.stop, 0, steps_per_epoch=order.steps_per_epoch),
            group=group,
        )
        yield batch.step + 1, losses


@torch.no_grad()
def _ranks(
    trial: Trial, protocol: HeadsProtocol, trained: Trained, images: LabelledImages, what: str
) -> NDArray[np.int64]:
    """:func:`transfer.tasks.classification.heads.ranks` of every image: (N, H)."""
    found = []
    for rows, views in batches(
        images,
        scoring_view(protocol.views, trained.backbone.arch, trained.backbone.preprocessing),
        batch_size=protocol.test_batch_size,
        device=trial.device,
        done=lambda num_done: trial.progress(num_done, len(images), what),
    ):
        labels = torch.from_numpy(images.labels[rows]).to(trial.device)
        found.append(ranks(trained.heads.logits(trained.features(views)), labels).cpu())
    return torch.cat(found).numpy()
