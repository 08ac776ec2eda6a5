"""Fine-tuning with learning rate and weight decay chosen on validation images, then on train and val together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.tasks.classification.grid import Point, ScoreFiles, Scores, best_point, grid_points
from transfer.tasks.classification.protocol import resolved
from transfer.tasks.classification.sgd_protocols import GridProtocol
from transfer.trial import Outcome, Trial, silent

if TYPE_CHECKING:
    from torch import nn

    from transfer.processes import Report
    from transfer.rows import LabelledDataset
    from transfer.tasks.classification.labelled import LabelledImages, Splits
    from transfer.tasks.classification.sgd import SgdSettings
    from transfer.weights.backbone import Backbone

LAST = "train and val"  # the last training, in progress and files
NORM_MOMENTUM = 0.1  # at most; SimCLR, appendix B.8: statistics keep max(1 - 10 / steps per epoch, 0.9) of the old


@dataclass(frozen=True, kw_only=True)
class Job:
    """What each of several processes is started with."""

    trial: Trial
    protocol: GridProtocol
    num_processes: int


@dataclass(frozen=True, kw_only=True)
class Divided:
    """A data set divided for the choice: what a point is trained on, what it is scored on, and both together."""

    row: LabelledDataset
    splits: Splits
    train: LabelledImages
    val: LabelledImages
    both: LabelledImages


def run(trial: Trial, protocol: GridProtocol, difference: list[str]) -> Outcome:
    """The grid, spread over the GPUs that the trial has; the last training, on one; one look at the test images.

    Raises:
        UserError: a bad checkpoint or data folder.
        FloatingPointError: every point of the grid diverged, or the last training did.
    """
    import torch

    return run_in_processes(trial, protocol, difference, torch.cuda.device_count() if trial.device == "cuda" else 1)


def run_in_processes(trial: Trial, protocol: GridProtocol, difference: list[str], num_processes: int) -> Outcome:
    """:func:`run` with so many GPUs, or CPU processes, each for points of its own: the result does not hang on them."""
    from transfer.processes import launch
    from transfer.tasks.classification.fit import checkpoint_path
    from transfer.tasks.classification.scoring import final_scoring
    from transfer.tasks.classification.training_views import scoring_view

    if num_processes > 1:
        job = Job(trial=dataclasses.replace(trial, progress=silent), protocol=protocol, num_processes=num_processes)
        launch(_grid_process, job, num_processes=num_processes, device=trial.device, progress=trial.progress)
    data = divided(trial, protocol)
    scores = fill_grid(trial, protocol, data, grid_points(protocol), trial.progress)  # or reads what is there
    point = best_point(scores)
    model, backbone = _train(trial, protocol, point, data.both, protocol.steps, LAST, trial.progress)
    metrics, references = final_scoring(
        model,
        data.splits,
        data.both,
        metric=data.row.metric,
        view=scoring_view(protocol.views, backbone.preprocessing),
        batch_size=protocol.test_batch_size,
        trial=trial,
    )
    checkpoint_path(trial, LAST).unlink()
    return Outcome(
        metrics=metrics,
        references=references,
        test_scorings=data.splits.test.scorings,
        choices=_choices(point, scores, data),
        resolved_config=resolved(
            trial.benchmark,
            protocol,
            dataset=data.row.name,
            metric=data.row.metric,
            val_images="official" if data.row.official_val else f"{_val_fraction(protocol, data.row):.4g} of train",
            split_rule=data.row.split_rule,
        ),
        protocol_difference=difference,
        arch=backbone.arch,
        source_format=backbone.source_format,
    )


def divided(trial: Trial, protocol: GridProtocol) -> Divided:
    """The trial's data set; where it has no validation images, the seed draws them from the training images.

    Raises:
        UserError: files are missing or damaged.
    """
    import numpy as np

    from transfer.tasks.classification.datasets import row_of
    from transfer.tasks.classification.holdout import held_out
    from transfer.tasks.classification.labelled import joined
    from transfer.tasks.classification.splits import splits_of

    row = row_of(trial.benchmark)
    splits = splits_of(trial)
    if splits.val is not None:
        both = joined(splits.train, splits.val, f"{row.name} train and val")
        return Divided(row=row, splits=splits, train=splits.train, val=splits.val, both=both)
    is_val = held_out(splits.train.labels, _val_fraction(protocol, row), trial.seed)
    return Divided(
        row=row,
        splits=splits,
        train=splits.train.subset(np.flatnonzero(~is_val)),
        val=splits.train.subset(np.flatnonzero(is_val), f"{row.name}, held out of train"),
        both=splits.train,
    )


def fill_grid(trial: Trial, protocol: GridProtocol, data: Divided, points: list[Point], report: Report) -> Scores:
    """The validation scores of these points, in percent; each is trained unless its score is in the work folder."""
    files = ScoreFiles(trial.work_dir / "grid", _identity(trial, protocol, data))
    scores: Scores = {}
    for number, point in enumerate(points, start=1):
        is_scored, score = files.load(point)
        if not is_scored:
            score = _score(trial, protocol, data, point, f"point {number} of {len(points)}", report)
            files.save(point, score)
        scores[point] = score
    return scores


def _score(
    trial: Trial, protocol: GridProtocol, data: Divided, point: Point, what: str, report: Report
) -> float | None:
    from transfer.tasks.classification.fit import checkpoint_path
    from transfer.tasks.classification.metrics import figures
    from transfer.tasks.classification.scoring import outputs
    from transfer.tasks.classification.training_views import scoring_view

    try:
        model, backbone = _train(trial, protocol, point, data.train, protocol.grid_steps, point.name, report, what)
        view = scoring_view(protocol.views, backbone.preprocessing)
        logits = outputs(model, data.val, view, batch_size=protocol.test_batch_size, device=trial.device)
        score = figures(logits, data.val.labels, data.row.metric)[data.row.metric]
    except FloatingPointError:
        score = None
    checkpoint_path(trial, point.name).unlink(missing_ok=True)
    return score


def _train(
    trial: Trial,
    protocol: GridProtocol,
    point: Point,
    images: LabelledImages,
    num_steps: int,
    name: str,
    report: Report,
    what: str = LAST,
) -> tuple[nn.Module, Backbone]:
    from transfer.tasks.classification.fit import fit
    from transfer.tasks.classification.group import Group

    return fit(
        trial,
        images,
        sgd_settings(protocol, point, num_steps, len(images)),
        views=protocol.views,
        head_std=protocol.head_std,
        group=Group(device=trial.device),
        name=name,
        done=lambda step, total: report(step, total, what),
    )


def sgd_settings(protocol: GridProtocol, point: Point, num_steps: int, num_images: int) -> SgdSettings:
    """What SGD is told at a point of the grid."""
    from transfer.tasks.classification.finetune import training_order
    from transfer.tasks.classification.sgd import SgdSettings

    steps_per_epoch = training_order(num_images, protocol.batch_size, seed=0).steps_per_epoch
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


def _grid_process(job: Job, report: Report) -> None:
    from transfer.tasks.classification.group import this_group

    rank = this_group(job.trial.device).rank
    points = grid_points(job.protocol)[rank :: job.num_processes]
    fill_grid(job.trial, job.protocol, divided(job.trial, job.protocol), points, report)


def _val_fraction(protocol: GridProtocol, row: LabelledDataset) -> float:
    return row.val_fraction if protocol.val_fraction is None else protocol.val_fraction


def _identity(trial: Trial, protocol: GridProtocol, data: Divided) -> str:
    from transfer.tasks.classification.label_subset import names_sha256

    unchosen = dataclasses.replace(protocol, lrs=(), weight_decays=())  # a point does not hang on the others
    images = [names_sha256(images) for images in (data.train, data.val)]
    weights = f"{trial.weights.source} {trial.weights.sha256} {trial.weights.which}"
    return f"{unchosen}\n{weights}\nseed {trial.seed} on {trial.device}\nimages {images} of {trial.data}\n"


def _choices(point: Point, scores: Scores, data: Divided) -> dict[str, Any]:
    return {
        "lr": point.lr,
        "weight_decay": point.weight_decay,
        f"val_{data.row.metric}": scores[point],
        "val_images": len(data.val),
        "grid": [[each.lr, each.weight_decay, score] for each, score in scores.items()],
    }
