"""Watches submitted trials until the last has ended, and reports how each went."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence

import submitit

from transfer.trials.board import RUNNING, WAITING
from transfer.trials.claim import end_claim_of
from transfer.trials.display import TrialsDisplay
from transfer.trials.run_one import record_death, remove_empty_folders
from transfer.trials.slurm.jobs import TrialJob
from transfer.trials.states import recorded_state
from transfer.trials.summary import End
from twist_common import slurm
from twist_common.slurm import JobStatus
from twist_common.slurm_jobs import remove_empty

SHORTEST_POLL_SECONDS, LONGEST_POLL_SECONDS = 1.0, 30.0  # the longer the jobs take, the less often Slurm is asked
SETTLE_SECONDS = 5.0  # on a network file system, what a job wrote may become visible here only after its end
FORGOTTEN = JobStatus(state="UNKNOWN", reason="Slurm no longer knows it", nodes="")


class Watch:
    """The trials of one command that are in Slurm's hands.

    Attributes:
        ended_at: when a job without a record was first seen to have ended.
    """

    def __init__(self, jobs: Sequence[TrialJob], display: TrialsDisplay) -> None:
        self.jobs = list(jobs)
        self.display = display
        self.ended_at: dict[str, float] = {}

    def run(self) -> None:
        """Returns when all have ended."""
        began = time.monotonic()
        while self.jobs:
            with contextlib.suppress(slurm.SlurmSilentError):  # it will answer again; the jobs run without an answer
                statuses = slurm.job_statuses([job.job_id for job in self.jobs])
                self.jobs = [job for job in self.jobs if not self._look(job, statuses.get(job.job_id, FORGOTTEN))]
            self.display.board.num_devices = max(1, len(self.display.board.of(RUNNING)))
            if self.jobs:
                waited = (time.monotonic() - began) / 20
                time.sleep(min(max(waited, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS))

    def _look(self, job: TrialJob, status: JobStatus) -> bool:
        """Shows how the job is; True when its trial has ended."""
        state = recorded_state(job.plan)
        if record := state.finished():
            return self._end(job, "done", job.plan.main_result(record))
        if not status.has_ended:
            self.ended_at.pop(job.job_id, None)
            self._show(job, status)
            return False
        if state.record and state.failed_since(job.failure_ns):
            return self._end(job, "failed", str(state.record.error))
        refusal, last_words = _returned(job)
        if refusal:
            others = [other.job_id for other in self.jobs if other is not job]
            if others and not self.display.summary.refused:  # like the local runner, cancels what has not begun
                subprocess.run(["scancel", f"--state={slurm.PENDING}", *others], stderr=sys.stderr, check=False)
            self._end(job, "refused", refusal)
            remove_empty_folders(job.plan)
            return True
        if time.monotonic() - self.ended_at.setdefault(job.job_id, time.monotonic()) < SETTLE_SECONDS:
            return False
        return self._end(job, "failed", _record_end(job, status, last_words))

    def _show(self, job: TrialJob, status: JobStatus) -> None:
        label = job.plan.label
        row, why = self.display.board.rows[label], f"job {job.job_id} {status}"
        if status.state == slurm.RUNNING and row.state != RUNNING:
            self.display.started(job.plan, status.nodes)
            row.detail = f"job {job.job_id}"
        elif status.state == slurm.PENDING and (row.state, row.detail) != (WAITING, why):
            if row.state == RUNNING:
                self.display.line(f"{label}: job {job.job_id} is requeued")
            self.display.board.move(label, WAITING, why)

    def _end(self, job: TrialJob, end: End, result: str) -> bool:
        """Counts the end of the trial, and removes what its job needed; True, as of :meth:`_look`."""
        self.display.ended(job.plan, end, result)
        clear_away(job, keep_output=end == "failed")
        return True


def _returned(job: TrialJob) -> tuple[str | None, str]:
    """What the job found wrong with the input, if anything; and if it raised, the last line of the traceback.

    That line says, for example, that the job has timed out too many times.
    """
    handle: submitit.SlurmJob[str | None] = submitit.SlurmJob(job.folder, job.job_id)
    if not handle.paths.result_pickle.exists():
        return None, ""
    error = handle.exception()
    if error is None:
        return handle.result(), ""
    # submitit puts the traceback between two rules
    lines = [line for part in str(error).split("-" * 22)[1:2] for line in part.splitlines() if line.strip()]
    return None, lines[-1].strip() if lines else ""


def _record_end(job: TrialJob, status: JobStatus, last_words: str) -> str:
    """Records the trial of a job that ended without a record, and returns the reason."""
    plan, paths = job.plan, submitit.SlurmJob(job.folder, job.job_id).paths
    reason = f"Slurm job {job.job_id} ended as {status} without a record"
    if last_words:
        reason += f": {last_words}"
    if paths.stderr.exists():
        reason += f" (its output: {paths.stderr})"
    end_claim_of(job.job_id, plan.claim_path)
    # The node's device is not known here, and this may be a machine without a GPU.
    on_node = {"device": f"of Slurm job {job.job_id}", "peak_bytes": 0}
    record_death(dataclasses.replace(plan, device="cpu"), reason, 0.0, **on_node)
    return reason


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
