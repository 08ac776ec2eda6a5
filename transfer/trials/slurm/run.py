"""Trials on Slurm from the command's side: find what is queued already, submit the rest, watch."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from common import slurm
from common.errors import UserError
from transfer.trials.claim import end_claim_of, take
from transfer.trials.display import TrialsDisplay
from transfer.trials.plan import TrialPlan
from transfer.trials.run_many import Summary
from transfer.trials.slurm import jobs as notes
from transfer.trials.slurm.jobs import TrialJob
from transfer.trials.slurm.options import TrialSlurmArgs, check
from transfer.trials.slurm.submit import submit


def run_on_slurm(plans: Sequence[TrialPlan], args: TrialSlurmArgs, gpus_per_trial: int | None) -> Summary:
    """Runs every trial that has no finished record as a job; one that is queued already is not submitted again.

    Args:
        gpus_per_trial: see :func:`transfer.trials.slurm.options.need_of`.

    Raises:
        UserError: bad use, Slurm refuses or does not answer; or a trial found bad input: those that had not begun
            were called off.
    """
    check(args, gpus_per_trial)
    plans = [dataclasses.replace(plan, runs=plan.runs.resolve()) for plan in plans]
    waiting = [plan for plan in plans if not plan.finished_record()]
    summary = Summary(skipped=len(plans) - len(waiting))
    if not waiting:
        return summary
    with _sole_submitter(notes.submission_folder(waiting[0])):
        queued = _queued(waiting)
        has_job = {job.plan for job in queued}
        submitted = submit([plan for plan in waiting if plan not in has_job], args, gpus_per_trial)
    jobs = [*queued, *submitted]
    for what, some in (("queued already", queued), ("submitted", submitted)):
        if some:
            print(f"{len(some)} trial(s) {what} as Slurm job(s) {_job_numbers(some)}", file=sys.stderr)
    if not args.wait:
        summary.queued = len(jobs)
        print(f"how they stand: {_how_to_look(jobs)}; to watch them: the same command again", file=sys.stderr)
        return summary
    _watch(jobs, summary)
    if summary.refused:
        raise UserError(summary.refused[0])
    return summary


def _watch(jobs: Sequence[TrialJob], summary: Summary) -> None:
    from transfer.trials.slurm.watch import Watch

    try:
        with TrialsDisplay([job.plan for job in jobs], already_done=summary.skipped, num_devices=1) as display:
            Watch(jobs, display, summary).run()
    except KeyboardInterrupt:
        end = f"scancel {_job_numbers(jobs, ' ')}"
        print(f"the jobs go on without this command: {_how_to_look(jobs)}; to end them: {end}", file=sys.stderr)
        raise


def _queued(plans: Sequence[TrialPlan]) -> list[TrialJob]:
    """The jobs of an earlier command that have not ended; it is said how those ended that left nothing."""
    earlier = [job for plan in plans if (job := notes.load(plan))]
    try:
        statuses = slurm.job_statuses([job.job_id for job in earlier])
    except slurm.SlurmSilentError as error:
        raise UserError(f"Slurm does not answer ({error}): try again when squeue works") from None
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


@contextlib.contextmanager
def _sole_submitter(folder: Path) -> Iterator[None]:
    """Of several commands at once, on any host, one submits at a time; the next then finds what was submitted."""
    path = folder.with_name(f".{folder.name}.claim")
    while (claim := take(path)) is None:
        time.sleep(0.5)
    with claim.kept():
        yield


def _job_numbers(jobs: Sequence[TrialJob], between: str = ", ") -> str:
    return between.join(dict.fromkeys(job.array_id for job in jobs))


def _how_to_look(jobs: Sequence[TrialJob]) -> str:
    return f"squeue --jobs={_job_numbers(jobs, ',')}"
