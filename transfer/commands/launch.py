"""Where trials run: on this machine or on a Slurm cluster. The options for it that all commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from transfer.rows import Benchmark
from transfer.trials.plan import TrialPlan
from transfer.trials.run_many import run_trials
from transfer.trials.slurm.options import TrialSlurmArgs, check
from transfer.trials.slurm.run import run_on_slurm
from transfer.trials.summary import RunSummary
from twist_common import slurm
from twist_common.errors import UserError
from twist_common.gpus import resolve_device


@dataclass(kw_only=True)
class LaunchArgs:
    """Where trials run, and with what."""

    device: str = "auto"
    """auto, cpu or cuda"""
    jobs: int = 0
    """at most this many trials at a time; 0: as many as there are cores (CPU) or GPUs for them"""
    gpus_per_trial: int | None = None
    """GPUs of each trial (with --launcher slurm, of detection and segmentation; others have one); default: 1, but for
    detection and segmentation all, which share the batch and its norm"""
    launcher: Literal["local", "slurm"] = "local"
    """local: on this machine; slurm: each trial is a job of the cluster (docs/slurm.md)"""
    cluster: TrialSlurmArgs = field(default_factory=TrialSlurmArgs)


def launch_device(args: LaunchArgs, benchmarks: Sequence[Benchmark]) -> str:
    """The device that the trials are to have, ``"cpu"`` or ``"cuda"``; checks the launcher's options too.

    Raises:
        UserError: an unknown device, an option of the other launcher, or on Slurm no option that implies a device.
    """
    if args.launcher == "local":
        if option := slurm.given(args.cluster):
            raise UserError(f"{option} is for jobs of a cluster: give --launcher slurm too")
        return resolve_device(args.device)
    if args.jobs:
        raise UserError("--jobs is for this machine: with --launcher slurm, --max-parallel limits the trials at a time")
    check(args.cluster, args.gpus_per_trial)
    if args.device != "auto":
        return resolve_device(args.device)
    if args.gpus_per_trial:
        return "cuda"
    if all(benchmark.dataset.embedded for benchmark in benchmarks):
        return "cpu"
    raise UserError("the nodes may have other devices than this machine: give --gpus-per-trial N, or --device cpu")


def launch(
    plans: Sequence[TrialPlan], args: LaunchArgs, after_benchmark: Callable[[], str] | None = None
) -> RunSummary:
    """Runs every trial that has no finished record.

    Args:
        after_benchmark: called when the last trial of a benchmark has ended; what it returns is printed.

    Raises:
        UserError: see :func:`transfer.trials.run_many.run_trials` and :func:`transfer.trials.slurm.run.run_on_slurm`.
    """
    if args.launcher == "slurm":
        return run_on_slurm(plans, args.cluster, args.gpus_per_trial, after_benchmark)
    return run_trials(plans, jobs=args.jobs, num_gpus=args.gpus_per_trial, after_benchmark=after_benchmark)
