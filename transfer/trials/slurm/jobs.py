"""The note beside a trial's folder that says which Slurm job has it: by it the same command finds its jobs again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.files import write_text
from transfer.trials.plan import TrialPlan


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial that was submitted.

    Attributes:
        job_id: ``"12"``, or ``"12_3"`` for a task of an array.
        folder: where submitit keeps its files.
        failure_ns: when the failed record was written that the job is to replace, or None.
    """

    plan: TrialPlan
    job_id: str
    folder: Path
    failure_ns: int | None

    @property
    def array_id(self) -> str:
        return self.job_id.partition("_")[0]

    def save(self) -> None:
        note = {"job_id": self.job_id, "inputs_sha256": self.plan.inputs_sha256, "failure_ns": self.failure_ns}
        write_text(note_path(self.plan), json.dumps(note) + "\n")

    def forget(self) -> None:
        """Removes the note."""
        note_path(self.plan).unlink(missing_ok=True)

    def has_new_failure(self) -> bool:
        """Whether the job wrote a failed record."""
        return failed_at_ns(self.plan) not in (None, self.failure_ns)


def note_path(plan: TrialPlan) -> Path:
    """Beside the trial's folder, as its claim: the folder may be removed while the job is queued."""
    return plan.trial_dir.with_name(f".{plan.trial_dir.name}.slurm.json")


def submission_folder(plan: TrialPlan) -> Path:
    """Where submitit keeps the files of all jobs of the plan's suite."""
    return plan.runs / plan.suite / "slurm"


def load(plan: TrialPlan) -> TrialJob | None:
    """The job that was submitted for this trial, whatever has become of it; None if there was none.

    Raises:
        UserError: the note is damaged, or of a trial with other settings.
    """
    path = note_path(plan)
    if not path.is_file():
        return None
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        job_id, inputs, failure_ns = str(note["job_id"]), note["inputs_sha256"], note["failure_ns"]
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} does not name a Slurm job: delete it, once squeue shows no job for it") from None
    if inputs != plan.inputs_sha256:
        raise UserError(
            f"Slurm job {job_id} has the trial {plan.label} with other settings (protocol, overrides, weights or "
            f"data): choose another --out or --suite; or end it with `scancel {job_id}` and delete {path}"
        )
    return TrialJob(plan=plan, job_id=job_id, folder=submission_folder(plan), failure_ns=failure_ns)


def failed_at_ns(plan: TrialPlan) -> int | None:
    """When the trial's record was last written; None if there is none."""
    try:
        return plan.record_path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
