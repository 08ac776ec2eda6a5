"""Submits trials as job arrays, one for each kind of need."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from common import slurm
from common.errors import UserError
from common.files import make_dir
from transfer.plan import TrialPlan
from transfer.slurm.jobs import TrialJob, failed_at_ns, submission_folder
from transfer.slurm.options import OWNED, Need, TrialSlurmArgs, need_of

ROOT = Path(__file__).resolve().parents[2]
# A trial that cannot go on from where it was would otherwise run into its time limit for ever.
MAX_TIMEOUTS = 20
SIGNAL_SECONDS = 60  # ahead of the time limit; a trial is ended in a moment, but Slurm counts in minutes


def submit(plans: Sequence[TrialPlan], args: TrialSlurmArgs, gpus_per_trial: int | None) -> list[TrialJob]:
    """Submits the trials and leaves a note beside each.

    Raises:
        UserError: Slurm refuses; what was submitted before stays.
    """
    arrays: dict[Need, list[TrialPlan]] = defaultdict(list)
    for plan in plans:
        arrays[need_of(plan, args, gpus_per_trial)].append(plan)
    jobs = []
    for need, members in sorted(arrays.items(), key=lambda array: array[0], reverse=True):
        jobs += _submit_array(members, need, args)
    return jobs


def _submit_array(plans: Sequence[TrialPlan], need: Need, args: TrialSlurmArgs) -> list[TrialJob]:
    import submitit

    from transfer.slurm.task import TrialTask

    folder = make_dir(submission_folder(plans[0]))
    executor = submitit.SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
    executor.update_parameters(**sbatch_parameters(plans[0].suite, need, args))
    tasks = [TrialTask(plan, need.gpus) for plan in plans]
    try:
        with executor.batch():
            submitted = [executor.submit(task) for task in tasks]
    except submitit.core.utils.FailedJobError as error:
        _clear_away_unsubmitted(folder)
        raise UserError(f"Slurm refuses the trials: {_what_sbatch_said(str(error))}") from None
    jobs = [
        TrialJob(plan=plan, job_id=job.job_id, folder=folder, failure_ns=failed_at_ns(plan))
        for plan, job in zip(plans, submitted, strict=True)
    ]
    for job in jobs:
        job.save()
    return jobs


def sbatch_parameters(suite: str, need: Need, args: TrialSlurmArgs) -> dict[str, object]:
    """The job's options in submitit's names."""
    chosen = {
        "partition": args.partition,
        "mem": args.mem,
        "account": args.account,
        "qos": args.qos,
        "constraint": args.constraint,
        "gpus_per_node": need.gpus or None,
    }
    return {
        **{name: value for name, value in chosen.items() if value is not None},
        "job_name": f"trials-{suite}",
        "time": args.minutes,
        "cpus_per_task": need.cpus,
        "array_parallelism": args.max_parallel,
        "signal_delay_s": SIGNAL_SECONDS,
        "setup": [*args.setup, *node_setup()],
        "srun_args": [f"--cpus-per-task={need.cpus}"],  # since Slurm 22.05 srun does not take it from the job
        "additional_parameters": {"requeue": True, **slurm.other_options(args.slurm, OWNED)},
    }


def node_setup() -> list[str]:
    """Shell lines by which the node finds this code, and survives a signal that is sent to the whole job."""
    path = os.pathsep.join(dict.fromkeys([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    return [
        f"export PYTHONPATH={shlex.quote(path.rstrip(os.pathsep))}",
        "trap : TERM USR1 USR2  # they are for the trial; this shell waits for it",
    ]


def _clear_away_unsubmitted(folder: Path) -> None:
    """What submitit has written for jobs that Slurm then refused: files that are not named for a job yet."""
    for pattern in ("[0-9a-f]" * 32 + ".pkl", ".submission_file_*.sh"):
        for path in folder.glob(pattern):
            path.unlink()
    remove_empty(folder)


def remove_empty(folder: Path) -> None:
    """Removes the folder if nothing is in it."""
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()


def _what_sbatch_said(text: str) -> str:
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines()]
    said = [line for line in lines if line]
    return "; ".join(said) or "sbatch gave no reason"
