"""Slurm as both stages use it: what every job asks for, whether Slurm is here, and how its jobs are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

from tyro.conf import arg

from twist_common.errors import UserError

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol", "srun")
# States of a job that has not ended (squeue's manual, "JOB STATE CODES").
UNENDED = frozenset(
    {
        "PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
        "RESV_DEL_HOLD", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
    }
)  # fmt: skip
RUNNING, PENDING = "RUNNING", "PENDING"


class SlurmSilentError(UserError):
    """Slurm's controller does not answer."""


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """How a job is.

    Attributes:
        state: squeue's long name, e.g. ``"PENDING"``.
        reason: why it is waiting or has ended; ``"None"`` where there is nothing to say.
        nodes: where it runs; empty while it is waiting.
    """

    state: str
    reason: str
    nodes: str

    @property
    def has_ended(self) -> bool:
        return self.state not in UNENDED

    def __str__(self) -> str:
        return self.state if self.reason in ("", "None") else f"{self.state} ({self.reason})"


@dataclass(kw_only=True)
class SlurmArgs:
    """What each job asks Slurm for."""

    partition: str | None = None
    """with --launcher slurm: the partition; default: the cluster's"""
    time: str = "1-00:00:00"
    """time limit of a job: minutes, HH:MM:SS or D-HH:MM:SS; what has not ended by then is requeued and resumes"""
    mem: str | None = None
    """memory on a node, e.g. 32G"""
    account: str | None = None
    """account to be charged"""
    qos: str | None = None
    """quality of service"""
    constraint: str | None = None
    """features that a node must have, e.g. "a100|h100" """
    slurm: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """KEY=VALUE for any other option of sbatch, e.g. exclude=node7 reservation=lab; KEY=true for one without a value"""
    setup: Annotated[tuple[str, ...], arg(metavar="LINE ...")] = ()
    """shell lines to run on the node first, e.g. "module load cuda" """


def given(args: Any) -> str | None:
    """The first option, as it is typed, that differs from its default in a dataclass of options; None if none does."""
    defaults = type(args)()
    for field in fields(args):
        value = getattr(args, field.name)
        if value != getattr(defaults, field.name):
            return f"--{'no-' if value is False else ''}{field.name.replace('_', '-')}"
    return None


def minutes(text: str) -> int:
    """A time limit in minutes; part of a minute counts as a whole one.

    Raises:
        UserError: it is not of the form minutes, HH:MM:SS or D-HH:MM:SS, or is zero.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if found:
        days, hours, mins, seconds = (int(part or 0) for part in found.groups())
        total = (days * 24 + hours) * 60 + mins + (seconds + 59) // 60
    elif text.isascii() and text.isdigit():
        total = int(text)
    else:
        raise UserError(f"--time is {text!r}: give minutes, HH:MM:SS or D-HH:MM:SS, e.g. 90, 12:00:00 or 2-00:00:00")
    if not total:
        raise UserError(f"--time is {text!r}: a job needs at least a minute")
    return total


def other_options(pairs: Iterable[str], owned: Iterable[str]) -> dict[str, str | bool]:
    """``--slurm KEY=VALUE ...`` as options of sbatch.

    Args:
        owned: long options that are set in another way.

    Raises:
        UserError: a pair is not of this form, or its option is owned.
    """
    options: dict[str, str | bool] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.removeprefix("--").replace("_", "-")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9-]*", key):
            raise UserError(f"--slurm {pair!r} is not KEY=VALUE with a long option of sbatch, e.g. exclude=node7")
        if key in owned:
            raise UserError(f"--slurm {pair!r}: {key} is set by this command or has an option of its own")
        options[key] = True if value == "true" else value
    return options


def require() -> None:
    """Checks that Slurm's commands are here.

    Raises:
        UserError: one is missing.
    """
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        raise UserError(
            f"--launcher slurm, but there is no {missing[0]} on PATH: start this on a login node of a Slurm cluster, "
            "or leave --launcher out"
        )


def job_statuses(job_ids: Sequence[str]) -> dict[str, JobStatus]:
    """How these jobs are; those that Slurm has forgotten are left out.

    Args:
        job_ids: ``"12"``, or ``"12_3"`` for a task of an array.

    Raises:
        SlurmSilentError: the controller does not answer.
    """
    if not job_ids:
        return {}
    wanted = ",".join(sorted({job_id.partition("_")[0] for job_id in job_ids}))
    found = _ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N", f"--jobs={wanted}")
    if forgotten := sorted(set(job_ids) - found.keys()):
        what = "--format=JobID,State,Reason,NodeList"
        found |= _ask("sacct", "--noheader", "--allocations", "--parsable2", what, f"--jobs={','.join(forgotten)}")
    return {job_id: found[job_id] for job_id in job_ids if job_id in found}


def _ask(*command: str) -> dict[str, JobStatus]:
    if shutil.which(command[0]) is None:
        return {}
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode and command[0] == "squeue" and "Invalid job id" not in answer.stderr:
        said = answer.stderr.strip() or f"{command[0]} ended with {answer.returncode}"
        raise SlurmSilentError(f"Slurm does not answer ({said}): try again when squeue works")
    statuses = {}
    for line in answer.stdout.splitlines():
        if line.count("|") == 3:
            job_id, state, reason, nodes = line.split("|")
            # sacct says "CANCELLED by 1000"
            statuses[job_id] = JobStatus(state=state.split(" ")[0], reason=reason, nodes=nodes)
    return statuses


def own_job_id() -> str:
    """The job that this process belongs to, ``"12"`` or ``"12_3"`` for a task of an array; empty outside of Slurm.

    ``SLURM_JOB_ID`` does not suffice: within an array it does not say which task this is.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", "")


def own_restarts() -> int:
    """How many times the job that this process belongs to has been requeued."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)
