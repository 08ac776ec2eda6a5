"""Writes the ledger of a folder of runs (:mod:`transfer.ledger`), with any number of runners on any number of hosts."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transfer.ledger import ENDS, LEDGER_NAME, Entry, Ledger, read_ledger
from transfer.record import TrialRecord
from transfer.trials.claim import take
from transfer.trials.plan import TrialPlan
from twist_common.strict_json import read_bounded

RETRY_SECONDS = 0.005  # a line takes about a millisecond to write


def note_start(plan: TrialPlan) -> str:
    """Says that the trial starts, and before that, that its record was removed if there is none where one was.

    Returns:
        Hash of the line.
    """
    with _held(plan.runs) as ledger:
        ended = [entry.event for entry in ledger.entries if entry.trial == _trial(plan) and entry.event != "started"]
        if ended and ended[-1] in ENDS and not plan.record_path.exists():
            ledger = _append(ledger, plan, event="removed")
        return _append(ledger, plan, event="started").head


def last_start(plan: TrialPlan) -> str:
    """Hash of the line of the trial's last start, by whatever process; empty if it has none."""
    with _held(plan.runs) as ledger:
        starts = [
            sha256
            for entry, sha256 in zip(ledger.entries, ledger.hashes, strict=True)
            if entry.trial == _trial(plan) and entry.event == "started"
        ]
        return starts[-1] if starts else ""


def note_end(plan: TrialPlan, record: TrialRecord) -> None:
    """Says how the trial ended, before its record is written: what is done without a record runs again."""
    metrics = {name: metric.value for name, metric in record.metrics.items()}
    with _held(plan.runs) as ledger:
        _append(ledger, plan, event=record.status, seal=record.seal, metrics=metrics)


def note_removal(plan: TrialPlan) -> None:
    """Says that the trial's folder is removed."""
    with _held(plan.runs) as ledger:
        _append(ledger, plan, event="removed")


@contextlib.contextmanager
def _held(runs: Path) -> Iterator[Ledger]:
    """The ledger, which no other process writes meanwhile; part of a line that a killed process left is cut off."""
    while (claim := take(runs / ".ledger.claim")) is None:
        time.sleep(RETRY_SECONDS)
    try:
        path = runs / LEDGER_NAME
        content = read_bounded(path) if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(path, len(whole))
        yield read_ledger(whole, str(path))
    finally:
        claim.release()


def _append(ledger: Ledger, plan: TrialPlan, **facts: Any) -> Ledger:
    """Writes a line; returns the ledger with it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Entry(trial=_trial(plan), inputs_sha256=plan.inputs_sha256, time=now, previous=ledger.head, **facts)
    line = entry.to_line()
    with (plan.runs / LEDGER_NAME).open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    added = read_ledger(line, LEDGER_NAME)
    return Ledger((*ledger.entries, *added.entries), (*ledger.hashes, *added.hashes))


def _trial(plan: TrialPlan) -> str:
    return plan.trial_dir.relative_to(plan.runs).as_posix()
