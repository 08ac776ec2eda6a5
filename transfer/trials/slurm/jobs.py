"""Trials as Slurm jobs: submitted as arrays, each noted beside its trial's folder so that a later command finds it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.trials.plan import TrialPlan
from transfer.trials.slurm.options import Need, TrialSlurmArgs, need_of
from transfer.trials.states import recorded_state
from twist_common import slurm_jobs
from twist_common.errors import UserError
from twist_common.files import write_text

# A trial that cannot resume from where it was would otherwise run into its time limit for ever.
MAX_TIMEOUTS = 20
SIGNAL_SECONDS = 60  # before the time limit; a trial is ended within a moment, but Slurm counts in minutes


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial that was submitted.

    Attributes:
        job_id: ``"12"``, or ``"12_3"`` for a task of an array.
        failure_ns: when the failed record was written that the job is to replace; None if there is none.
    """

    plan: TrialPlan
    job_id: str
    failure_ns: int | None

    @property
    def array_id(self) -> str:
        return self.job_id.partition("_")[0]

    @property
    def folder(self) -> Path:
        """Where submitit keeps its files."""
        return submission_folder(self.plan)

    def save(self) -> None:
        """Writes the note."""
        note = {"job_id": self.job_id, "inputs_sha256": self.plan.inputs_sha256, "failure_ns": self.failure_ns}
        write_text(note_path(self.plan), json.dumps(note) + "\n")

    def forget(self) -> None:
        """Removes the note."""
        note_path(self.plan).unlink(missing_ok=True)


def note_path(plan: TrialPlan) -> Path:
    """Beside the trial's folder, like its claim: the folder may be removed while the job is queued."""
    return plan.trial_dir.with_name(f".{plan.trial_dir.name}.slurm.json")


def submission_folder(plan: TrialPlan) -> Path:
    """Where submitit keeps the files of all jobs of the plan's suite."""
    return plan.runs / plan.suite / "slurm"


def load(plan: TrialPlan) -> TrialJob | None:
    """The job that was submitted for this trial, whatever has become of it; None if there was none.

    Raises:
        UserError: the note is damaged, or belongs to a trial with other settings.
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
    return TrialJob(plan=plan, job_id=job_id, failure_ns=failure_ns)


def submit(plans: Sequence[TrialPlan], args: TrialSlurmArgs, gpus_per_trial: int | None) -> list[TrialJob]:
    """Submits the trials, those with the same need as one array, and writes a note beside each.

    Raises:
        UserError: Slurm refuses; what was submitted before stays.
    """
    from transfer.trials.slurm.task import TrialTask

    arrays: dict[Need, list[TrialPlan]] = defaultdict(list)
    for plan in plans:
        arrays[need_of(plan, args, gpus_per_trial)].append(plan)
    jobs = []
    for need in sorted(arrays, reverse=True):
        submitted = slurm_jobs.submit(
            [TrialTask(plan, need.gpus) for plan in arrays[need]],
            submission_folder(plans[0]),
            args,
            max_timeouts=MAX_TIMEOUTS,
            signal_seconds=SIGNAL_SECONDS,
            cpus=need.cpus,
            gpus_per_node=need.gpus,
            job_name=f"trials-{plans[0].suite}",
            array_parallelism=args.max_parallel,
        )
        for plan, job in zip(arrays[need], submitted, strict=True):
            jobs.append(TrialJob(plan=plan, job_id=job.job_id, failure_ns=recorded_state(plan).written_ns))
            jobs[-1].save()
    return jobs
