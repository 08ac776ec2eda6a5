"""Fine-tuning with learning rate and weight decay chosen on validation images, then on train and val together."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from dataclasses import dataclass

import numpy as np
from torch import nn

from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets import splits_of
from transfer.tasks.classification.datasets.labelled import LabelledImages, Splits, held_out, joined
from transfer.tasks.classification.finetune import checkpoint_path, fit, scored, training_order
from transfer.tasks.classification.loader import scoring_view
from transfer.tasks.classification.protocol import GridProtocol, data_facts, val_fraction
from transfer.tasks.classification.scoring import figures, outputs
from transfer.tasks.classification.sgd import SgdSettings
from transfer.tasks.classification.training import Group, num_devices, this_group, train_in_processes
from transfer.trial import Outcome, Trial
from transfer.weights.backbone import Backbone
from twist_common.files import sha256_text, write_text

LAST = "train and val"  # the last training, in progress and files
NORM_MOMENTUM = 0.1  # at most; SimCLR, appendix B.8: statistics keep max(1 - 10 / steps per epoch, 0.9) of the old


@dataclass(frozen=True)
class Point:
    """A point of the grid; ``weight_decay`` as the protocol has it, not yet divided by the learning rate."""

    lr: float
    weight_decay: float

    @property
    def name(self) -> str:
        return f"lr-{self.lr:.3g}_wd-{self.weight_decay:.3g}"


@dataclass(frozen=True, kw_only=True)
class Divided:
    """A data set divided for the choice: the images that a point is trained on, those it is scored on, and both."""

    splits: Splits
    train: LabelledImages
    val: LabelledImages
    both: LabelledImages


def run(trial: Trial, protocol: GridProtocol, difference: list[str], num_processes: int | None = None) -> Outcome:
    """The grid, then the last training at its best point, on one GPU; one look at the test images.

    Args:
        num_processes: each trains points of its own; None: one per GPU of the trial. The result does not depend on
            their number.

    Raises:
        UserError: a bad checkpoint or data folder.
        FloatingPointError: every point of the grid diverged, or the last training did.
    """
    data = divided(trial, protocol)
    train_in_processes(fill_grid, trial, protocol, num_processes or num_devices(trial))
    scores = fill_grid(trial, protocol, data)  # or reads what the processes scored
    finished = {point: score for point, score in scores.items() if score is not None}
    if not finished:
        raise FloatingPointError(f"all {len(scores)} points of the grid diverged: the learning rates are too high")
    point = max(finished, key=lambda point: finished[point])  # the first of equals
    row = data.splits.row
    outcome = scored(
        trial,
        protocol,
        difference,
        _train(trial, protocol, point, data.both, protocol.steps, LAST, LAST),
        data.splits,
        data.both,
        choices={
            "lr": point.lr,
            "weight_decay": point.weight_decay,
            f"val_{row.metric}": scores[point],
            "val_images": len(data.val),
            "grid": [[each.lr, each.weight_decay, score] for each, score in scores.items()],
        },
        **data_facts(protocol, row),
    )
    checkpoint_path(trial, LAST).unlink()
    return outcome


def divided(trial: Trial, protocol: GridProtocol) -> Divided:
    """The trial's data set; where it has no validation images, the seed draws them from the training images.

    Raises:
        UserError: files are missing or damaged.
    """
    splits = splits_of(trial)
    train, row = splits.train, splits.row
    if splits.val is not None:
        both = joined(train, splits.val, f"{row.name} train and val")
        return Divided(splits=splits, train=train, val=splits.val, both=both)
    is_val = held_out(train.labels, val_fraction(protocol, row), rng(trial.seed, Stream.HELD_OUT))
    return Divided(
        splits=splits,
        train=train.subset(np.flatnonzero(~is_val)),
        val=train.subset(np.flatnonzero(is_val), f"{row.name}, held out of train"),
        both=train,
    )


def fill_grid(trial: Trial, protocol: GridProtocol, data: Divided | None = None) -> dict[Point, float | None]:
    """The validation scores of this process's share of the points, in percent; None where the training diverged.

    A point is trained unless its score is in the trial's work folder; each score has a file there, which a kill does
    not affect.

    Args:
        data: None lists it anew.
    """
    data = data or divided(trial, protocol)
    group = this_group(trial.device)
    grid = [Point(lr, decay) for lr, decay in itertools.product(protocol.lrs, protocol.weight_decays)]
    points = grid[group.rank :: group.num_processes]
    unchosen = dataclasses.replace(protocol, lrs=(), weight_decays=())  # a point does not depend on the others
    hashes = [data.train.names_sha256(), data.val.names_sha256()]
    weights = f"{trial.weights.source} {trial.weights.sha256} {trial.weights.taken}"
    identity = sha256_text(
        f"version {trial.benchmark.protocol_version} of {unchosen}\n{weights}\n"
        f"seed {trial.seed} on {trial.device}\nimages {hashes} of {trial.data}\n"
    )
    scores: dict[Point, float | None] = {}
    for number, point in enumerate(points, start=1):
        path = trial.work_dir / "grid" / f"{point.name}.json"
        saved = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if saved.get("identity") != identity:
            saved = {"identity": identity, "score": _score(trial, protocol, data, point, f"{number} of {len(points)}")}
            write_text(path, json.dumps(saved) + "\n")
        scores[point] = saved["score"]
    return scores


def _score(trial: Trial, protocol: GridProtocol, data: Divided, point: Point, which: str) -> float | None:
    metric, score = data.splits.row.metric, None
    try:
        model, backbone = _train(trial, protocol, point, data.train, protocol.grid_steps, point.name, f"point {which}")
        view = scoring_view(protocol.views, backbone.arch, backbone.preprocessing)
        logits = outputs(
            model,
            data.val,
            view,
            batch_size=protocol.test_batch_size,
            device=trial.device,
            precision=protocol.precision,
        )
        score = figures(logits, data.val.labels, metric)[metric]
        assert math.isfinite(score), f"{point.name} scored {score}"
    except FloatingPointError:
        pass
    checkpoint_path(trial, point.name).unlink(missing_ok=True)
    return score


def _train(
    trial: Trial, protocol: GridProtocol, point: Point, images: LabelledImages, num_steps: int, name: str, what: str
) -> tuple[nn.Sequential, Backbone]:
    return fit(
        trial,
        protocol,
        images,
        sgd_settings(protocol, point, num_steps, len(images)),
        group=Group(device=trial.device),
        name=name,
        done=lambda step, total: trial.progress(step, total, what),
    )


def sgd_settings(protocol: GridProtocol, point: Point, num_steps: int, num_images: int) -> SgdSettings:
    """The settings of a training at a point of the grid."""
    steps_per_epoch = training_order(num_images, protocol.batch_size).steps_per_epoch
    return SgdSettings(
        num_steps=num_steps,
        batch_size=protocol.batch_size,
        lr_backbone=point.lr,
        lr_head=point.lr,
        cosine="step",
        warmup_steps=0,
        momentum=protocol.momentum,
        nesterov=True,
        weight_decay=point.weight_decay / point.lr,
        norm_momentum=min(10 / steps_per_epoch, NORM_MOMENTUM),
    )
