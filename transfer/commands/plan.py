"""``--plan`` of every command that runs trials: its options, and how the plan is made and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import arg

from transfer.planner.devices import machine
from transfer.planner.history import gather
from transfer.planner.planning import Planner
from transfer.planner.show import as_json, show
from transfer.trials.plan import TrialPlan
from twist_common.errors import UserError


@dataclass
class PlanArgs:
    """Options of --plan."""

    plan: bool = False
    """show what would run, what is recorded, time, disk and what is missing; start nothing, write nothing"""
    probe: bool = False
    """with --plan: where no recorded run shows the time, measure the first steps of a trial in a temporary folder"""
    from_runs: Annotated[tuple[Path, ...], arg(name="from", metavar="DIR ...")] = ()
    """with --plan: more folders of records to learn times and sizes from"""
    gpu: str | None = None
    """with --plan: plan for this kind of GPU instead of this machine, e.g. h100, a100-80gb, v100"""
    gpus: int | None = None
    """with --plan: how many GPUs; default: those of this machine, or one of --gpu"""
    json: bool = False
    """with --plan: print the plan as JSON"""

    def check(self) -> None:
        """Raises UserError for an option without ``--plan``, or two that exclude each other."""
        given = {
            "--probe": self.probe,
            "--from": self.from_runs,
            "--gpu": self.gpu is not None,
            "--gpus": self.gpus is not None,
            "--json": self.json,
        }
        alone = [name for name, is_given in given.items() if is_given]
        if alone and not self.plan:
            raise UserError(f"{alone[0]} is for a plan: give --plan too, or leave it out")
        if self.probe and self.gpu is not None:
            raise UserError("--probe measures this machine: leave out --probe or --gpu")
        for folder in self.from_runs:
            if not folder.is_dir():
                raise UserError(f"--from {folder}: there is no such folder")


def show_plan(plans: Sequence[TrialPlan], args: PlanArgs, *, jobs: int, num_gpus: int | None) -> int:
    """Prints what the trials would take, and returns the exit code 0.

    Args:
        plans: all trials, made with ``must_exist=False``.
        jobs: ``--jobs``.
        num_gpus: ``--gpus-per-trial``.

    Raises:
        UserError: an unknown GPU, or an override that the task refuses.
    """
    target = machine(plans[0].device, jobs=jobs, gpu=args.gpu, gpus=args.gpus)
    past_trials = gather([plans[0].runs, *args.from_runs])
    planner = Planner(past_trials=past_trials, machine=target, jobs=jobs, num_gpus=num_gpus, probing=args.probe)
    plan = planner.plan(plans)
    if args.json:
        print(as_json(plan))
    else:
        show(plan, Console())
    return 0
