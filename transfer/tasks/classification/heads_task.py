"""Many linear heads on the frozen backbone: the official one, and one chosen on held-out training images."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.record import Metric
from transfer.tasks.classification.protocol import resolved
from transfer.tasks.classification.sgd_protocols import HeadSetting, HeadsProtocol
from transfer.trial import Outcome, Trial, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from transfer.processes import Report
    from transfer.tasks.classification.frozen_features import FrozenFeatures
    from transfer.tasks.classification.heads import Heads
    from transfer.tasks.classification.labelled import LabelledImages
    from transfer.weights.backbone import Backbone

OFFICIAL = 0  # its place among the heads


@dataclass(frozen=True, kw_only=True)
class Job:
    """What each of several processes is started with."""

    trial: Trial
    protocol: HeadsProtocol


@dataclass(frozen=True)
class Trained:
    """The heads after the last step, with what they stand on."""

    heads: Heads
    features: FrozenFeatures
    backbone: Backbone


def run(trial: Trial, protocol: HeadsProtocol, difference: list[str]) -> Outcome:
    """Trains the heads with the GPUs that the trial has, chooses one, then looks at the test images once.

    Raises:
        UserError: a bad checkpoint or data folder.
    """
    import torch

    return run_in_processes(trial, protocol, difference, torch.cuda.device_count() if trial.device == "cuda" else 1)


def run_in_processes(trial: Trial, protocol: HeadsProtocol, difference: list[str], num_processes: int) -> Outcome:
    """:func:`run` with so many GPUs, or CPU processes; the result does not hang on their number."""
    import numpy as np

    from transfer.processes import launch
    from transfer.tasks.classification.scoring import floor
    from transfer.tasks.classification.splits import splits_of

    splits = splits_of(trial)
    held_out = held_out_images(splits.train, protocol, trial.seed)
    if num_processes > 1:
        job = Job(trial=dataclasses.replace(trial, progress=silent), protocol=protocol)
        launch(_train_process, job, num_processes=num_processes, device=trial.device, progress=trial.progress)
    trained = train(trial, protocol, splits.train, held_out, trial.progress)  # or takes up what the processes left
    held_out_ranks = _ranks(trial, protocol, trained, splits.train.subset(np.flatnonzero(held_out)), "held-out images")
    chosen = chosen_head(held_out_ranks)
    test = splits.test.open()
    test_ranks = _ranks(trial, protocol, trained, test, "test images")
    _checkpoint_path(trial).unlink()
    best = [k for k in (1, 5) if k < len(test.classes)]
    return Outcome(
        metrics={
            **{f"top{k}": Metric(value=top(test_ranks[:, OFFICIAL], k)) for k in best},
            **{f"top{k}_chosen": Metric(value=top(test_ranks[:, chosen], k)) for k in best},
        },
        references=floor(splits.train.labels, test, "top1"),
        test_scorings=splits.test.scorings,
        inflated={"top1": max(top(column, 1) for column in test_ranks.T)},
        choices={
            **dataclasses.asdict(trained.heads.settings[chosen]),
            "val_top1": top(held_out_ranks[:, chosen], 1),
            "val_images": int(held_out.sum()),
            "candidates": len(trained.heads) - 1,
        },
        resolved_config=resolved(trial.benchmark, protocol),
        protocol_difference=difference,
        arch=trained.backbone.arch,
        source_format=trained.backbone.source_format,
    )


def head_settings(protocol: HeadsProtocol, arch: str) -> list[HeadSetting]:
    """The official head of the architecture, then the candidates. ViTs other than DeiT-S have ViT-B's official head."""
    from pretrain.model import RESNETS
    from transfer.tasks.classification.frozen_features import feature_names

    official = protocol.resnet if arch in RESNETS else protocol.vit_base
    if arch == "deit_small":
        official = protocol.deit_small
    grid = itertools.product(feature_names(arch), protocol.lrs, protocol.weight_decays)
    return [official, *(HeadSetting(feature=feature, lr=lr, weight_decay=decay) for feature, lr, decay in grid)]


def held_out_images(train: LabelledImages, protocol: HeadsProtocol, seed: int) -> NDArray[np.bool_]:
    """(N,) whether a training image is one of those by which a candidate is chosen."""
    import numpy as np

    from transfer.tasks.classification.label_subset import even_rows

    held_out = np.zeros(len(train), dtype=bool)
    held_out[even_rows(train.labels, protocol.val_fraction, seed)] = True
    return held_out


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


def train(
    trial: Trial,
    protocol: HeadsProtocol,
    images: LabelledImages,
    held_out: NDArray[np.bool_],
    report: Report,
) -> Trained:
    """The heads after their last step, in this process or in this one's group of processes."""
    from transfer.tasks.classification.checkpoints import Checkpoints
    from transfer.tasks.classification.frozen_features import FrozenFeatures, feature_sizes
    from transfer.tasks.classification.group import this_group
    from transfer.tasks.classification.heads import Heads
    from transfer.tasks.classification.heads_training import HeadsTraining, train_heads
    from transfer.tasks.classification.label_subset import names_sha256
    from transfer.tasks.classification.training_views import training_view
    from transfer.weights.of_trial import torch_backbone

    module, backbone = torch_backbone(trial)
    features = FrozenFeatures(module, backbone.arch)
    heads = Heads(
        head_settings(protocol, backbone.arch),
        feature_sizes(backbone.arch, module.num_features),
        len(images.classes),
        head_std=protocol.head_std,
        momentum=protocol.momentum,
        seed=trial.seed,
        device=trial.device,
    )
    identity = (
        f"{resolved(trial.benchmark, protocol)}seed {trial.seed}\nweights {backbone.sha256} {backbone.which}\n"
        f"images {names_sha256(images)}\ndata {trial.data}\ndevice {trial.device}\n"
    )
    training = HeadsTraining(
        images=images.kept() if protocol.views.is_small else images,
        held_out=held_out,
        view=training_view(protocol.views, backbone.preprocessing),
        epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        seed=trial.seed,
        checkpoints=Checkpoints(_checkpoint_path(trial), identity),
        curves=trial.work_dir / "tensorboard",
        done=lambda step, num_steps: report(step, num_steps, "heads"),
    )
    train_heads(heads, features, training, this_group(trial.device))
    return Trained(heads, features, backbone)


def _train_process(job: Job, report: Report) -> None:
    from transfer.tasks.classification.splits import splits_of

    images = splits_of(job.trial).train
    train(job.trial, job.protocol, images, held_out_images(images, job.protocol, job.trial.seed), report)


def _ranks(trial: Trial, protocol: HeadsProtocol, trained: Trained, images: LabelledImages, what: str) -> NDArray[Any]:
    from transfer.tasks.classification.heads_training import ranks_of
    from transfer.tasks.classification.training_views import scoring_view

    return ranks_of(
        trained.heads,
        trained.features,
        images,
        scoring_view(protocol.views, trained.backbone.preprocessing),
        batch_size=protocol.test_batch_size,
        device=trial.device,
        done=lambda rows: trial.progress(rows, len(images), what),
    )


def _checkpoint_path(trial: Trial) -> Path:
    return trial.work_dir / "checkpoint.pth"
