"""``--plan`` of a transfer command: gathers, plans and prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from transfer.commands.plan_args import PlanArgs
from transfer.planner.devices import machine
from transfer.planner.history import gather
from transfer.planner.planning import Planner
from transfer.planner.show import as_json, show
from transfer.trials.plan import TrialPlan


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
    pasts = gather([plans[0].runs, *args.from_runs])
    planner = Planner(pasts=pasts, machine=target, jobs=jobs, num_gpus=num_gpus, probing=args.probe)
    plan = planner.plan(plans)
    if args.json:
        print(as_json(plan))
    else:
        show(plan, Console())
    return 0
