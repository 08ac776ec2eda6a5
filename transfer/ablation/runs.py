"""The runs of an ablation: each an ordinary pre-training run in a process of its own, done once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import twist_configs.pretrain
from pretrain.recipe import Recipe, recipe_sha256
from pretrain.run.finished import is_finished
from pretrain.run.preemption import EXIT_PREEMPTED, Preempted
from twist_common import cli, overrides
from twist_common.errors import UserError
from twist_common.process import run_module
from twist_configs.pretrain.ablations import Arm, Study

# An ablation is about TWIST's loss: its runs end with the first stage.
FIRST_STAGE_ONLY = ("self_labeling.epochs=0",)
EXIT_INTERRUPTED = 130  # twist_common.cli, of a command that Ctrl-C ended
LAUNCHER = "pretrain.launch"


@dataclass(frozen=True)
class PlannedRun:
    """One setting with one seed.

    Attributes:
        changes: overrides of the named recipe that make it this run's.
        out: folder of the run; the same settings have the same folder in every ablation, and so run only once.
    """

    arm: Arm
    seed: int
    recipe: Recipe
    changes: tuple[str, ...]
    out: Path


def plan(study: Study, recipe_name: str, changes: Sequence[str], num_seeds: int, out: Path) -> list[PlannedRun]:
    """The runs of a study, seed by seed, so that all settings have a result early.

    Args:
        changes: the user's overrides; a setting's own come after them.
        num_seeds: from the recipe's seed on.

    Raises:
        UserError: an unknown recipe or override.
    """
    overrides.check_once(changes)
    base = base_recipe(recipe_name, changes)
    runs = []
    for seed in range(base.seed, base.seed + num_seeds):
        for arm in study.arms(base):
            own = overrides.last_of_each((*FIRST_STAGE_ONLY, *changes, *arm.overrides, f"seed={seed}"))
            recipe = overrides.apply(twist_configs.pretrain.get(recipe_name), own)
            folder = out / "runs" / f"{recipe_name}-seed{seed}-{recipe_sha256(recipe)[:8]}"
            runs.append(PlannedRun(arm, seed, recipe, own, folder))
    return runs


def base_recipe(recipe_name: str, changes: Sequence[str]) -> Recipe:
    """What all runs start from.

    Raises:
        UserError: an unknown recipe or override.
    """
    return overrides.apply(twist_configs.pretrain.get(recipe_name), (*FIRST_STAGE_ONLY, *changes))


def pretrain(run: PlannedRun, data: Path, device: str) -> str | None:
    """Trains, or resumes the training, unless the run is finished. Requests to stop are passed on to it.

    Returns:
        Why there is no result, or None. A run that failed is started again next time.

    Raises:
        UserError: the settings or the data are refused.
        Preempted: the run was asked to stop.
        KeyboardInterrupt: from the terminal.
    """
    if is_finished(run.out, run.recipe):
        return None
    arguments = [run.recipe.name, *run.changes, "--data", str(data), "--out", str(run.out), "--device", device]
    code = run_module(LAUNCHER, arguments)
    if code == cli.EXIT_BAD_USE:
        raise UserError(f"the run of {run.arm.label!r} was refused: see the line above")
    if code == EXIT_PREEMPTED:
        raise Preempted(f"stopped within the run of {run.arm.label!r}: start the same command again to resume")
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    return f"pre-training failed with code {code}, see its last line" if code else None
