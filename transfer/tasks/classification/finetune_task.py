"""Fine-tuning of the whole network on a part of the labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import UserError
from common.files import sha256_file
from transfer.tasks.classification.protocol import resolved
from transfer.tasks.classification.sgd_protocols import FinetuneProtocol
from transfer.trial import Outcome, Trial, silent

if TYPE_CHECKING:
    from torch import nn

    from transfer.processes import Report
    from transfer.tasks.classification.labelled import LabelledImages
    from transfer.tasks.classification.sgd import SgdSettings
    from transfer.weights.backbone import Backbone

CHECKPOINT = "finetune"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What each of several processes is started with."""

    trial: Trial
    protocol: FinetuneProtocol


def run(trial: Trial, protocol: FinetuneProtocol, difference: list[str]) -> Outcome:
    """Trains on the labelled images with the GPUs that the trial has, then one look at the test images.

    Raises:
        UserError: a bad checkpoint, data folder or list of labelled images.
    """
    import torch

    return run_in_processes(trial, protocol, difference, torch.cuda.device_count() if trial.device == "cuda" else 1)


def run_in_processes(trial: Trial, protocol: FinetuneProtocol, difference: list[str], num_available: int) -> Outcome:
    """:func:`run` with up to so many GPUs, or CPU processes: as many of them as share a step evenly."""
    from transfer.processes import launch
    from transfer.tasks.classification.fit import checkpoint_path
    from transfer.tasks.classification.label_subset import names_sha256
    from transfer.tasks.classification.norms import fitting_processes
    from transfer.tasks.classification.scoring import final_scoring
    from transfer.tasks.classification.splits import splits_of
    from transfer.tasks.classification.training_views import scoring_view

    splits = splits_of(trial)
    labelled = labelled_images(trial, protocol, splits.train)
    num_processes = fitting_processes(min(protocol.batch_size, len(labelled)), protocol.norm_batch, num_available)
    if num_processes > 1:
        job = Job(trial=dataclasses.replace(trial, progress=silent), protocol=protocol)
        launch(_train_process, job, num_processes=num_processes, device=trial.device, progress=trial.progress)
    model, backbone = train(trial, protocol, labelled, trial.progress)  # or takes up what the processes left
    metrics, references = final_scoring(
        model,
        splits,
        labelled,
        metric="top1",
        view=scoring_view(protocol.views, backbone.preprocessing),
        batch_size=protocol.test_batch_size,
        trial=trial,
    )
    checkpoint_path(trial, CHECKPOINT).unlink()
    return Outcome(
        metrics=metrics,
        references=references,
        test_scorings=splits.test.scorings,
        choices={"labelled_images": len(labelled), "labelled_images_sha256": names_sha256(labelled)},
        resolved_config=resolved(trial.benchmark, protocol, labelled_images=_labelled_by(trial, protocol)),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )


def labelled_images(trial: Trial, protocol: FinetuneProtocol, train: LabelledImages) -> LabelledImages:
    """Those of the user's list, else so many of each class, drawn by the seed.

    Raises:
        UserError: a bad list; or a part of ImageNet's labels without one.
    """
    from transfer.tasks.classification.label_subset import LIST_GUIDE, even_rows, listed, read_list

    if protocol.labels_fraction == 1:
        return train
    if trial.labels is not None:
        return listed(train, read_list(trial.labels), trial.labels)
    if trial.benchmark.dataset.name == "imagenet":
        raise UserError(f"{trial.benchmark.name} needs the list of its labelled images: {LIST_GUIDE}")
    return train.subset(even_rows(train.labels, protocol.labels_fraction, trial.seed), f"labelled part of {train.name}")


def train(
    trial: Trial, protocol: FinetuneProtocol, labelled: LabelledImages, report: Report
) -> tuple[nn.Module, Backbone]:
    """The classifier after its last step, in this process or in this one's group of processes."""
    from transfer.tasks.classification.fit import fit
    from transfer.tasks.classification.group import this_group

    return fit(
        trial,
        labelled,
        sgd_settings(protocol, len(labelled)),
        views=protocol.views,
        head_std=protocol.head_std,
        group=this_group(trial.device),
        name=CHECKPOINT,
        done=lambda step, num_steps: report(step, num_steps, "fine-tuning"),
    )


def sgd_settings(protocol: FinetuneProtocol, num_labelled: int) -> SgdSettings:
    """The protocol's schedule on so many labelled images."""
    from transfer.tasks.classification.finetune import training_order
    from transfer.tasks.classification.sgd import SgdSettings

    steps_per_epoch = training_order(num_labelled, protocol.batch_size, seed=0).steps_per_epoch
    return SgdSettings(
        num_steps=protocol.epochs * steps_per_epoch,
        batch_size=protocol.batch_size,
        lr_backbone=protocol.lr_backbone,
        lr_head=protocol.lr_head,
        cosine=protocol.cosine,
        warmup_steps=protocol.warmup_steps,
        momentum=protocol.momentum,
        nesterov=protocol.nesterov,
        weight_decay=protocol.weight_decay,
        norm_batch=protocol.norm_batch,
    )


def _train_process(job: Job, report: Report) -> None:
    from transfer.tasks.classification.splits import splits_of

    labelled = labelled_images(job.trial, job.protocol, splits_of(job.trial).train)
    train(job.trial, job.protocol, labelled, report)


def _labelled_by(trial: Trial, protocol: FinetuneProtocol) -> str:
    if trial.labels is not None:
        return f"list {sha256_file(trial.labels)}"
    return "all" if protocol.labels_fraction == 1 else "drawn evenly by the seed"
