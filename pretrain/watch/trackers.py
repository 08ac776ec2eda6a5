"""Sends curves to Weights & Biases or MLflow if the user asks for it, in addition to what is written on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pretrain.recipe import Recipe, as_dict, recipe_sha256
from twist_common import overrides
from twist_common.files import write_text

PROJECT = "twist-transfer"
NOTE_NAME = "tracker.txt"  # the run's id at the tracker, so that a resumed run continues its curves


class Tracker(Protocol):
    """A destination of curves besides ``metrics.jsonl`` and TensorBoard."""

    def write(self, step: int, statistics: Mapping[str, float]) -> None:
        """One point on each curve."""

    def close(self) -> None:
        """Sends the remaining points."""


class WandbTracker:
    """A run of Weights & Biases, configured by its own environment variables, such as ``WANDB_MODE=offline``."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        import wandb

        note = out / NOTE_NAME
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=out.name,
            dir=str(out),
            id=note.read_text(encoding="utf-8") if note.is_file() else None,
            resume="allow",
            config={**as_dict(recipe), "recipe_sha256": recipe_sha256(recipe)},
        )
        write_text(note, self._run.id)

    def write(self, step: int, statistics: Mapping[str, float]) -> None:
        self._run.log(dict(statistics), step=step)

    def close(self) -> None:
        self._run.finish()


class MlflowTracker:
    """A run of MLflow, at ``MLFLOW_TRACKING_URI`` or in ``OUT/mlruns``."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        is_local = "MLFLOW_TRACKING_URI" not in os.environ
        if is_local:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # files need neither a server nor a database
        import mlflow

        note = out / NOTE_NAME
        if is_local:
            mlflow.set_tracking_uri((out / "mlruns").resolve().as_uri())
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        self._mlflow = mlflow
        if note.is_file():
            mlflow.start_run(run_id=note.read_text(encoding="utf-8"))
            return
        write_text(note, mlflow.start_run(run_name=out.name).info.run_id)
        settings = dict(text.split("=", 1) for text in overrides.settings(recipe))
        mlflow.log_params({**settings, "recipe_sha256": recipe_sha256(recipe)})

    def write(self, step: int, statistics: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(statistics), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


TRACKERS: dict[str, Callable[[Recipe, Path], Tracker]] = {"wandb": WandbTracker, "mlflow": MlflowTracker}


def open_tracker(recipe: Recipe, out: Path) -> Tracker | None:
    """The tracker that the recipe names; None if it names none."""
    return TRACKERS[recipe.run.track](recipe, out) if recipe.run.track != "none" else None
