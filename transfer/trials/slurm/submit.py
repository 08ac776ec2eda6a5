"""Submits trials as job arrays, one for each kind of need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from common import slurm_jobs
from transfer.trials.plan import TrialPlan
from transfer.trials.slurm.jobs import TrialJob, failed_at_ns, submission_folder
from transfer.trials.slurm.options import Need, TrialSlurmArgs, need_of

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
    from transfer.trials.slurm.task import TrialTask

    folder = submission_folder(plans[0])
    submitted = slurm_jobs.submit(
        [TrialTask(plan, need.gpus) for plan in plans],
        folder,
        args,
        max_timeouts=MAX_TIMEOUTS,
        signal_seconds=SIGNAL_SECONDS,
        cpus=need.cpus,
        gpus_per_node=need.gpus,
        job_name=f"trials-{plans[0].suite}",
        array_parallelism=args.max_parallel,
    )
    jobs = [
        TrialJob(plan=plan, job_id=job.job_id, folder=folder, failure_ns=failed_at_ns(plan))
        for plan, job in zip(plans, submitted, strict=True)
    ]
    for job in jobs:
        job.save()
    return jobs
