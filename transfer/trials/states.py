"""Which trials are recorded, and which would be run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from common.errors import UserError
from transfer.record import TrialRecord
from transfer.trials.claim import live_owner
from transfer.trials.plan import TrialPlan

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


def state_of(plan: TrialPlan) -> State:
    """What a run of this trial would find."""
    if live_owner(plan.claim_path):
        return "running"
    if not plan.record_path.is_file():
        return "to run"
    try:
        record = TrialRecord.load(plan.record_path)
    except UserError:
        return "unreadable"
    if record.status == "failed":
        return "failed"
    return "done" if record.inputs_sha256 == plan.inputs_sha256 else "other settings"


def by_state(plans: Sequence[TrialPlan]) -> dict[State, tuple[int, ...]]:
    """Seeds in each state that there is."""
    found: dict[State, list[int]] = {}
    for plan in plans:
        found.setdefault(state_of(plan), []).append(plan.seed)
    return {state: tuple(found[state]) for state in MEANING if state in found}


def ranges(seeds: Sequence[int]) -> str:
    """``(0, 1, 2, 5)`` as ``"0-2, 5"``."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and parts[-1][1] == seed - 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)
