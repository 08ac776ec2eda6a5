"""``--plan`` of every command that runs trials: its options, and how the plan is made and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
from twist_common.gpu_kinds import GpuArgs


@dataclass
class PlanArgs:
    """Options of --plan."""

    plan: bool = False
    """show what would run, what is recorded, time, disk and what is missing; start nothing, write nothing"""
    probe: bool = False
    """with --plan: where no recorded run shows the time, measure the first steps of a trial in a temporary folder"""
    from_runs: Annotated[tuple[Path, ...], arg(name="from", metavar="DIR ...")] = ()
    """with --plan: more folders of records to learn times and sizes from"""
    kind: GpuArgs = field(default_factory=GpuArgs)
    gpus: int | None = None
    """with --plan: how many GPUs; default: those of this machine, or one of --gpu"""
    json: bool = False
    """with --plan: print the plan as JSON"""

    def check(self) -> None:
        """Raises UserError for an option without ``--plan``, or two that exclude each other."""
        given = {
            "--probe": self.probe,
            "--from": self.from_runs,
            **dict.fromkeys(self.kind.given(), True),
            "--gpus": self.gpus is not None,
            "--json": self.json,
        }
        alone = [name for name, is_given in given.items() if is_given]
        if alone and not self.plan:
            raise UserError(f"{alone[0]} is for a plan: give --plan too, or leave it out")
        described = self.kind.resolved() is not None
        if self.probe and described:
            raise UserError(f"--probe measures this machine: leave out --probe or {self.kind.given()[0]}")
        if self.kind.efficiency is not None and not described:
            raise UserError("--efficiency is of a GPU: name it with --gpu, or describe it with --tflops")
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
    target = machine(
        plans[0].device, jobs=jobs, gpu=args.kind.resolved(), gpus=args.gpus, efficiency=args.kind.efficiency
    )
    past_trials = gather([plans[0].runs, *args.from_runs])
    planner = Planner(past_trials=past_trials, machine=target, jobs=jobs, num_gpus=num_gpus, probing=args.probe)
    plan = planner.plan(plans)
    if args.json:
        print(as_json(plan))
    else:
        show(plan, Console())
    return 0
