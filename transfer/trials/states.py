"""How a trial is: the one answer that the runners, plans and commands share."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transfer.record import TrialRecord
from transfer.record_bounds import MAX_RECORD_BYTES
from transfer.trials.claim import Owner, live_owner
from transfer.trials.plan import TrialPlan
from twist_common.errors import UserError

State = Literal["to run", "running", "done", "failed", "other settings", "unreadable"]

MEANING: dict[State, str] = {
    "to run": "to be run",
    "running": "being run now by another runner",
    "done": "recorded",
    "failed": "failed, to be run again",
    "other settings": "made with other settings: choose another --out or --suite, or delete them",
    "unreadable": "a record that cannot be read: delete it",
}
TO_RUN: tuple[State, ...] = ("to run", "failed")


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """How a trial is.

    Attributes:
        record: whatever its settings; None if there is none, or none that can be read.
        written_ns: modification time of the record's file; None if there is none.
        conflict: why the record can neither be used nor replaced, and what to do; empty if it can.
        owner: who is running the trial, if :func:`state_of` was asked.
    """

    name: State
    record: TrialRecord | None = None
    written_ns: int | None = None
    conflict: str = ""
    owner: Owner | None = None

    def finished(self) -> TrialRecord | None:
        """The record of this very trial if it is done; None if the trial is still to be run.

        Raises:
            UserError: the record has other settings, or cannot be read.
        """
        if self.conflict:
            raise UserError(self.conflict)
        return self.record if self.name == "done" else None

    def failed_since(self, earlier_ns: int | None) -> bool:
        """Whether there is a failed record, other than the one that had been written at ``earlier_ns``."""
        return self.record is not None and self.record.status == "failed" and self.written_ns != earlier_ns


def recorded_state(plan: TrialPlan) -> TrialState:
    """What is recorded of the trial; nobody is asked whether it is running."""
    try:
        with plan.record_path.open("rb") as file:
            written_ns, content = os.fstat(file.fileno()).st_mtime_ns, file.read(MAX_RECORD_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return TrialState(name="to run")
    try:
        record = TrialRecord.from_bytes(content, str(plan.record_path))
    except UserError as error:
        return TrialState(name="unreadable", written_ns=written_ns, conflict=str(error))
    if record.status == "failed":
        return TrialState(name="failed", record=record, written_ns=written_ns)
    if record.inputs_sha256 == plan.inputs_sha256:
        return TrialState(name="done", record=record, written_ns=written_ns)
    conflict = (
        f"{plan.record_path} was made with other settings (protocol, overrides, weights or data): "
        f"choose another --out or --suite, or delete {plan.trial_dir} to run it again"
    )
    return TrialState(name="other settings", record=record, written_ns=written_ns, conflict=conflict)


def state_of(plan: TrialPlan) -> TrialState:
    """What a run of this trial would find: what is recorded, and whether somebody is running it."""
    owner = live_owner(plan.claim_path)  # before the record, which is there by the time its trial's claim is released
    state = recorded_state(plan)
    return dataclasses.replace(state, owner=owner, name="running" if owner and state.name in TO_RUN else state.name)


def unfinished(plans: Sequence[TrialPlan]) -> list[TrialPlan]:
    """The trials that have no finished record.

    Raises:
        UserError: one has a record with other settings, or one that cannot be read.
    """
    return [plan for plan in plans if not recorded_state(plan).finished()]


def by_state(plans: Sequence[TrialPlan]) -> dict[State, tuple[int, ...]]:
    """The seeds in each state that occurs."""
    found: dict[State, list[int]] = {}
    for plan in plans:
        found.setdefault(state_of(plan).name, []).append(plan.seed)
    return {state: tuple(found[state]) for state in MEANING if state in found}


def ranges(seeds: Sequence[int]) -> str:
    """``(0, 1, 2, 5)`` as ``"0-2, 5"``."""
    runs = itertools.groupby(enumerate(sorted(seeds)), key=lambda placed: placed[1] - placed[0])
    ends = [(run[0], run[-1]) for run in ([seed for _, seed in placed] for _, placed in runs)]
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in ends)
