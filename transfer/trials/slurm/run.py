"""Trials on Slurm from the command's side: find what is queued already, submit the rest, watch."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence

from transfer.trials.claim import end_claim_of, take
from transfer.trials.display import TrialsDisplay
from transfer.trials.plan import TrialPlan
from transfer.trials.slurm import jobs as notes
from transfer.trials.slurm.jobs import TrialJob
from transfer.trials.slurm.options import TrialSlurmArgs, check
from transfer.trials.states import unfinished
from transfer.trials.summary import RunSummary
from twist_common import slurm
from twist_common.errors import UserError


def run_on_slurm(
    plans: Sequence[TrialPlan],
    args: TrialSlurmArgs,
    gpus_per_trial: int | None,
    after_benchmark: Callable[[], str] | None = None,
) -> RunSummary:
    """Runs every trial that has no finished record as a job; a trial that is queued already is not submitted again.

    Args:
        gpus_per_trial: see :func:`transfer.trials.slurm.options.need_of`.
        after_benchmark: see :class:`TrialsDisplay`; where the command does not wait it is not called.

    Raises:
        UserError: bad use, Slurm refuses or does not answer; or a trial found bad input: then those that had not
            begun were cancelled.
    """
    check(args, gpus_per_trial)
    plans = [dataclasses.replace(plan, runs=plan.runs.resolve()) for plan in plans]
    waiting = unfinished(plans)
    summary = RunSummary(skipped=len(plans) - len(waiting))
    if not waiting:
        return summary
    folder = notes.submission_folder(waiting[0])
    # Of several commands at once, on any host, one submits at a time; the next one then finds what was submitted.
    while (claim := take(folder.with_name(f".{folder.name}.claim"))) is None:
        time.sleep(0.5)
    with claim.kept():
        queued = _queued(waiting)
        has_job = {job.plan for job in queued}
        submitted = notes.submit([plan for plan in waiting if plan not in has_job], args, gpus_per_trial)
    jobs = [*queued, *submitted]
    for what, some in (("queued already", queued), ("submitted", submitted)):
        if some:
            print(f"{len(some)} trial(s) {what} as Slurm job(s) {_job_numbers(some)}", file=sys.stderr)
    how_to_look = f"squeue --jobs={_job_numbers(jobs, ',')}"
    if not args.wait:
        summary.queued = len(jobs)
        print(f"to see how they are: {how_to_look}; to watch them: the same command again", file=sys.stderr)
        return summary
    from transfer.trials.slurm.watch import Watch

    try:
        waited_for = [job.plan for job in jobs]
        with TrialsDisplay(waited_for, summary, num_devices=1, after_benchmark=after_benchmark) as display:
            Watch(jobs, display).run()
    except KeyboardInterrupt:
        end = f"scancel {_job_numbers(jobs, ' ')}"
        print(f"the jobs continue without this command: {how_to_look}; to end them: {end}", file=sys.stderr)
        raise
    if summary.refused:
        raise UserError(summary.refused[0])
    return summary


def _queued(plans: Sequence[TrialPlan]) -> list[TrialJob]:
    """An earlier command's jobs that have not ended. Of those that ended without a record, the end is reported."""
    earlier = [job for plan in plans if (job := notes.load(plan))]
    statuses = slurm.job_statuses([job.job_id for job in earlier])
    found = []
    for job in earlier:
        status = statuses.get(job.job_id)
        if status is not None and not status.has_ended:
            found.append(job)
        else:
            how = f"ended as {status}" if status else "is no longer known to Slurm"
            print(f"{job.plan.label}: job {job.job_id} {how} and left no result: submitted again", file=sys.stderr)
            end_claim_of(job.job_id, job.plan.claim_path)
            job.forget()
    return found


def _job_numbers(jobs: Sequence[TrialJob], between: str = ", ") -> str:
    return between.join(dict.fromkeys(job.array_id for job in jobs))
