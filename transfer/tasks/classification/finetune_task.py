"""Fine-tuning of the whole network on a part of the labels."""

from __future__ import annotations

from torch import nn

from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets import splits_of
from transfer.tasks.classification.datasets.labelled import LabelledImages, even_rows
from transfer.tasks.classification.finetune import checkpoint_path, fit, scored, training_order
from transfer.tasks.classification.label_list import LIST_GUIDE, listed, read_list
from transfer.tasks.classification.protocol import FinetuneProtocol
from transfer.tasks.classification.sgd import SgdSettings, fitting_processes
from transfer.tasks.classification.training import num_devices, this_group, train_in_processes
from transfer.trial import Outcome, Trial
from transfer.weights.backbone import Backbone
from twist_common.errors import UserError
from twist_common.files import sha256_file

CHECKPOINT = "finetune"


def run(trial: Trial, protocol: FinetuneProtocol, difference: list[str], num_available: int | None = None) -> Outcome:
    """Trains on the labelled images, then looks at the test images once.

    Args:
        num_available: the most processes that train together; as many are used as share a step evenly. None: one per
            GPU of the trial.

    Raises:
        UserError: a bad checkpoint, data folder or list of labelled images.
    """
    splits = splits_of(trial)
    labelled = labelled_images(trial, protocol, splits.train)
    num_processes = fitting_processes(
        min(protocol.batch_size, len(labelled)), protocol.norm_batch, num_available or num_devices(trial)
    )
    train_in_processes(train, trial, protocol, num_processes)
    fitted = train(trial, protocol, labelled)  # or loads what the processes trained
    labelled_by = "all" if protocol.labels_fraction == 1 else "drawn evenly by the seed"
    outcome = scored(
        trial,
        protocol,
        difference,
        fitted,
        splits,
        labelled,
        choices={"labelled_images": len(labelled), "labelled_images_sha256": labelled.names_sha256()},
        labelled_images=labelled_by if trial.labels is None else f"list {sha256_file(trial.labels)}",
    )
    checkpoint_path(trial, CHECKPOINT).unlink()
    return outcome


def labelled_images(trial: Trial, protocol: FinetuneProtocol, train: LabelledImages) -> LabelledImages:
    """Those in the user's list, else the protocol's fraction of each class, drawn by the seed.

    Raises:
        UserError: a bad list; or a part of ImageNet's labels without one.
    """
    if protocol.labels_fraction == 1:
        return train
    if trial.labels is not None:
        return listed(train, read_list(trial.labels), trial.labels)
    if trial.benchmark.dataset.name == "imagenet":
        raise UserError(f"{trial.benchmark.name} needs the list of its labelled images: {LIST_GUIDE}")
    rows = even_rows(train.labels, protocol.labels_fraction, rng(trial.seed, Stream.LABELS))
    return train.subset(rows, f"labelled part of {train.name}")


def train(
    trial: Trial, protocol: FinetuneProtocol, labelled: LabelledImages | None = None
) -> tuple[nn.Sequential, Backbone]:
    """The classifier after its last step, in this process or in this one's group of processes.

    Args:
        labelled: None lists them anew.
    """
    if labelled is None:
        labelled = labelled_images(trial, protocol, splits_of(trial).train)
    order = training_order(len(labelled), protocol.batch_size, norm_batch=protocol.norm_batch, whole_batches=False)
    settings = SgdSettings(
        num_steps=protocol.epochs * order.steps_per_epoch,
        batch_size=protocol.batch_size,
        lr_backbone=protocol.lr_backbone,
        lr_head=protocol.lr_head,
        cosine=protocol.cosine,
        warmup_steps=protocol.warmup_steps,
        momentum=protocol.momentum,
        nesterov=protocol.nesterov,
        weight_decay=protocol.weight_decay,
        norm_batch=protocol.norm_batch,
        whole_batches=False,
    )
    return fit(
        trial,
        protocol,
        labelled,
        settings,
        group=this_group(trial.device),
        name=CHECKPOINT,
        done=lambda step, num_steps: trial.progress(step, num_steps, "fine-tuning"),
    )
