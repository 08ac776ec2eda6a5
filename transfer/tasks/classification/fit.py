"""One fine-tuning of a trial: the trial's backbone, a fresh head, checkpoints and curves in its work folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from transfer.tasks.classification.checkpoints import Checkpoints
from transfer.tasks.classification.finetune import Training, finetune, new_classifier
from transfer.tasks.classification.group import Group
from transfer.tasks.classification.label_subset import names_sha256
from transfer.tasks.classification.labelled import LabelledImages
from transfer.tasks.classification.sgd import SgdSettings
from transfer.tasks.classification.sgd_protocols import Views
from transfer.tasks.classification.training_views import training_view
from transfer.trial import Trial
from transfer.weights.backbone import Backbone
from transfer.weights.of_trial import torch_backbone


def fit(
    trial: Trial,
    images: LabelledImages,
    settings: SgdSettings,
    *,
    views: Views,
    head_std: float,
    group: Group,
    name: str,
    done: Callable[[int, int], None],
) -> tuple[nn.Module, Backbone]:
    """The classifier after its last step; what a killed run left in the trial's work folder is taken up.

    Args:
        group: the processes that train it together.
        name: of its checkpoint and curves; one a training.
        done: see :class:`transfer.tasks.classification.finetune.Training`.

    Raises:
        UserError: a bad checkpoint of the backbone.
        FloatingPointError: the loss is not a number.
    """
    module, backbone = torch_backbone(trial)
    torch.manual_seed(trial.seed)
    model = new_classifier(module, len(images.classes), head_std=head_std, seed=trial.seed)
    identity = (
        f"{trial.benchmark.name} seed {trial.seed} on {trial.device}\nweights {backbone.sha256} {backbone.which}\n"
        f"images {names_sha256(images)} of {trial.data}\n{dataclasses.asdict(settings)}\n{views}\nhead {head_std}\n"
    )
    training = Training(
        images=images.kept() if views.is_small else images,
        view=training_view(views, backbone.preprocessing),
        settings=settings,
        seed=trial.seed,
        checkpoints=Checkpoints(checkpoint_path(trial, name), identity),
        curves=trial.work_dir / "tensorboard" / name,
        done=done,
    )
    finetune(model, training, group)
    return model, backbone


def checkpoint_path(trial: Trial, name: str) -> Path:
    """Where :func:`fit` writes its checkpoint; to be removed when the result stands elsewhere."""
    return trial.work_dir / f"{name}.pth"
