"""Watches submitted trials until the last has ended, and says how each went."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence

import submitit

from common import slurm
from common.slurm import JobStatus
from common.slurm_jobs import remove_empty
from transfer.record import TrialRecord
from transfer.trials.board import RUNNING, WAITING
from transfer.trials.claim import end_claim_of
from transfer.trials.display import TrialsDisplay
from transfer.trials.run_many import Summary
from transfer.trials.run_one import record_death, remove_empty_folders
from transfer.trials.slurm.jobs import TrialJob

SHORTEST_POLL_SECONDS, LONGEST_POLL_SECONDS = 1.0, 30.0  # the longer it lasts the less often Slurm is asked
SETTLE_SECONDS = 5.0  # what a job wrote may be seen here later than its end, on a network file system
FORGOTTEN = JobStatus(state="UNKNOWN", reason="Slurm no longer knows it", nodes="")


class Watch:
    """The trials of one command that are in Slurm's hands.

    Attributes:
        seen: how each job was last seen.
        ended_at: when the end of a job was first seen that has left no record yet.
    """

    def __init__(self, jobs: Sequence[TrialJob], display: TrialsDisplay, summary: Summary) -> None:
        self.jobs = list(jobs)
        self.display, self.summary = display, summary
        self.seen: dict[str, JobStatus] = {}
        self.ended_at: dict[str, float] = {}

    def run(self) -> None:
        """Returns when all have ended."""
        began = time.monotonic()
        while self.jobs:
            with contextlib.suppress(slurm.SlurmSilentError):  # it will answer again; the jobs do not need it to run
                statuses = slurm.job_statuses([job.job_id for job in self.jobs])
                self.jobs = [job for job in self.jobs if not self._look(job, statuses.get(job.job_id, FORGOTTEN))]
            self.display.board.num_devices = max(1, len(self.display.board.of(RUNNING)))
            if self.jobs:
                waited = (time.monotonic() - began) / 20
                time.sleep(min(max(waited, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS))

    def _look(self, job: TrialJob, status: JobStatus) -> bool:
        """Shows how the job stands; True when its trial has ended."""
        if record := job.plan.finished_record():
            main = record.metrics.get(job.plan.benchmark.main_metric)
            self.summary.done += 1
            self._end(job, "done", f"{job.plan.benchmark.main_metric} {main.value:.2f}" if main else "")
            return True
        if not status.has_ended:
            self.ended_at.pop(job.job_id, None)
            self._show(job, status)
            return False
        if job.has_new_failure():
            self._fail(job, str(TrialRecord.load(job.plan.record_path).error))
            return True
        if refusal := _refusal(job):
            self._refuse(job, refusal)
            return True
        if time.monotonic() - self.ended_at.setdefault(job.job_id, time.monotonic()) < SETTLE_SECONDS:
            return False
        self._fail(job, _bury(job, status))
        return True

    def _show(self, job: TrialJob, status: JobStatus) -> None:
        before = self.seen.get(job.job_id)
        if before == status:
            return
        self.seen[job.job_id] = status
        if status.state == slurm.RUNNING:
            if before is None or before.state != slurm.RUNNING:
                self.display.started(job.plan, status.nodes)
                self.display.board.rows[job.plan.label].detail = f"job {job.job_id}"
        elif status.state == slurm.PENDING:
            has_run = self.display.board.rows[job.plan.label].state == RUNNING
            self.display.board.move(job.plan.label, WAITING, f"job {job.job_id} {status}")
            if has_run:
                self.display.line(f"{job.plan.label}: job {job.job_id} is requeued")

    def _fail(self, job: TrialJob, reason: str) -> None:
        self.summary.failed.append((job.plan, reason))
        self._end(job, "failed", reason)

    def _refuse(self, job: TrialJob, sentence: str) -> None:
        """Bad input: what has not begun is called off, as the local runner does."""
        if not self.summary.refused:
            cancel([other for other in self.jobs if other is not job], state=slurm.PENDING)
        self.summary.refused.append(sentence)
        self._end(job, "refused", sentence)
        remove_empty_folders(job.plan)

    def _end(self, job: TrialJob, state: str, result: str) -> None:
        self.display.ended(job.plan, state, result)
        clear_away(job, keep_output=state == "failed")


def _refusal(job: TrialJob) -> str | None:
    """What the job found wrong with the input; None if nothing, or if it did not get as far."""
    handle: submitit.SlurmJob[str | None] = submitit.SlurmJob(job.folder, job.job_id)
    if not handle.paths.result_pickle.exists() or handle.exception() is not None:
        return None
    return handle.result()


def _bury(job: TrialJob, status: JobStatus) -> str:
    """Records the trial of a job that ended without a word."""
    paths = submitit.SlurmJob(job.folder, job.job_id).paths
    reason = f"Slurm job {job.job_id} ended as {status} without a record"
    if last_word := _last_word(job):
        reason += f": {last_word}"
    if paths.stderr.exists():
        reason += f" (its output: {paths.stderr})"
    # The node's device is not known here, and need not be there: this may be a machine without a GPU.
    plan = job.plan
    end_claim_of(job.job_id, plan.claim_path)
    record_death(dataclasses.replace(plan, device="cpu"), reason, 0.0)
    if job.has_new_failure():
        record = TrialRecord.load(plan.record_path)
        device = f"of Slurm job {job.job_id}"
        dataclasses.replace(record, device=device, peak_bytes=0).sealed().save(plan.record_path)
    return reason


def _last_word(job: TrialJob) -> str:
    """The last line of the traceback that submitit kept, e.g. that it has timed out too many times; empty if none."""
    handle: submitit.SlurmJob[object] = submitit.SlurmJob(job.folder, job.job_id)
    error = handle.exception() if handle.paths.result_pickle.exists() else None
    # submitit puts the traceback between two rules
    lines = [line for part in str(error or "").split("-" * 22)[1:2] for line in part.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def clear_away(job: TrialJob, *, keep_output: bool) -> None:
    """Removes the note and submitit's files of a job that has ended; the trial's own log stays with the trial."""
    paths = submitit.SlurmJob(job.folder, job.job_id).paths
    paths.submitted_pickle.unlink(missing_ok=True)
    paths.result_pickle.unlink(missing_ok=True)
    if not keep_output:
        paths.stdout.unlink(missing_ok=True)
        paths.stderr.unlink(missing_ok=True)
    job.forget()
    if not any(path.suffix != ".sh" for path in job.folder.glob(f"{job.array_id}_*")):  # the array's last
        script = paths.submission_file
        for link in job.folder.glob(".submission_file_*.sh"):
            if link.resolve() == script:
                link.unlink()
        script.unlink(missing_ok=True)
    remove_empty(job.folder)


def cancel(jobs: Sequence[TrialJob], *, state: str) -> None:
    """Calls off those of the jobs that are in this state."""
    if jobs:
        subprocess.run(["scancel", f"--state={state}", *(job.job_id for job in jobs)], stderr=sys.stderr, check=False)
