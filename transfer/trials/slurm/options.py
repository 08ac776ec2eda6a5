"""What a user may ask for trials on Slurm, and what each trial needs as a consequence."""

from __future__ import annotations

from dataclasses import dataclass

from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from twist_common import slurm
from twist_common.errors import UserError
from twist_common.slurm_jobs import OWNED

CPUS_PER_GPU = 4  # the number of loading processes that the frameworks' configs start per GPU


@dataclass(kw_only=True)
class TrialSlurmArgs(slurm.SlurmArgs):
    """Options of --launcher slurm; each trial is a job."""

    cpus_per_trial: int | None = None
    """CPU cores of each trial; default: 1 on CPU, else 4 per GPU"""
    max_parallel: int = 256
    """trials that may run at a time"""
    wait: bool = True
    """watch the jobs until they have ended; --no-wait returns once they are submitted"""


@dataclass(frozen=True, order=True)
class Need:
    """What a trial's job asks for; trials with the same need are one array."""

    gpus: int
    cpus: int


def need_of(plan: TrialPlan, args: TrialSlurmArgs, gpus_per_trial: int | None) -> Need:
    """What the trial needs.

    Args:
        gpus_per_trial: of detection and segmentation; classification and clustering use one GPU.

    Raises:
        UserError: GPUs are wanted, but not how many.
    """
    gpus = 0
    if plan.device == "cuda":
        if gpus_per_trial is None:
            raise UserError("this machine cannot tell how many GPUs a node of the cluster has: give --gpus-per-trial N")
        gpus = gpus_per_trial if task_of(plan.benchmark).uses_all_gpus else 1
    return Need(gpus=gpus, cpus=args.cpus_per_trial or max(1, CPUS_PER_GPU * gpus))


def check(args: TrialSlurmArgs, gpus_per_trial: int | None) -> None:
    """Checks the options before anything is planned.

    Raises:
        UserError: Slurm is not here, or an option has an impossible value.
    """
    slurm.require()
    slurm.minutes(args.time)
    slurm.other_options(args.slurm, OWNED)
    counts = {
        "--gpus-per-trial": gpus_per_trial,
        "--cpus-per-trial": args.cpus_per_trial,
        "--max-parallel": args.max_parallel,
    }
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UserError(f"{name} is {count}: give a number from 1 up")
