"""Writes the ledger of a folder of runs (:mod:`transfer.ledger`), with any number of runners on any number of hosts."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from transfer.ledger import ENDS, LEDGER_NAME, Entry, Ledger, read_ledger
from transfer.record import TrialRecord
from transfer.trials.claim import take
from transfer.trials.plan import TrialPlan
from twist_common.files import named_in_errors, sha256_bytes
from twist_common.strict_json import read_bounded

RETRY_SECONDS = 0.005  # a line takes about a millisecond to write


def note_start(plan: TrialPlan) -> str:
    """Says that the trial starts, and before that, that its record was removed if there is none where one was.

    Returns:
        Hash of the line.
    """
    with _held(plan.runs) as lines:
        ended = [entry.event for entry in _of_trial(lines, plan).entries if entry.event != "started"]
        if ended and ended[-1] in ENDS and not plan.record_path.exists():
            _append(lines, plan, event="removed")
        return _append(lines, plan, event="started")


def last_start(plan: TrialPlan) -> str:
    """Hash of the line of the trial's last start, by whatever process; empty if it has none."""
    with _held(plan.runs) as lines:
        own = _of_trial(lines, plan)
        starts = [sha256 for entry, sha256 in zip(own.entries, own.hashes, strict=True) if entry.event == "started"]
        return starts[-1] if starts else ""


def note_end(plan: TrialPlan, record: TrialRecord) -> None:
    """Says how the trial ended, before its record is written: what is done without a record runs again."""
    metrics = {name: metric.value for name, metric in record.metrics.items()}
    with _held(plan.runs) as lines:
        _append(lines, plan, event=record.status, seal=record.seal, metrics=metrics)


def note_removal(plan: TrialPlan) -> None:
    """Says that the trial's folder is removed."""
    with _held(plan.runs) as lines:
        _append(lines, plan, event="removed")


@contextlib.contextmanager
def _held(runs: Path) -> Iterator[list[bytes]]:
    """The ledger's lines, which no other process adds to meanwhile; what a killed one wrote of a line is cut off."""
    while (claim := take(runs / ".ledger.claim")) is None:
        time.sleep(RETRY_SECONDS)
    try:
        path = runs / LEDGER_NAME
        content = read_bounded(path) if path.exists() else b""
        *lines, torn = content.split(b"\n")
        if torn:
            os.truncate(path, len(content) - len(torn))
        yield lines
    finally:
        claim.release()


def _of_trial(lines: list[bytes], plan: TrialPlan) -> Ledger:
    """The lines that are about the trial: only they are parsed, as there may be thousands."""
    name = json.dumps(_trial(plan)).encode()
    return read_ledger(b"".join(line + b"\n" for line in lines if name in line), str(plan.runs / LEDGER_NAME))


def _append(lines: list[bytes], plan: TrialPlan, **facts: Any) -> str:
    """Writes a line, and adds it to ``lines``; returns its hash."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    previous = sha256_bytes(lines[-1]) if lines else ""
    content = Entry(
        trial=_trial(plan), inputs_sha256=plan.inputs_sha256, time=now, previous=previous, **facts
    ).to_line()
    path = plan.runs / LEDGER_NAME
    with named_in_errors(path), path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    lines.append(content.removesuffix(b"\n"))
    return sha256_bytes(lines[-1])


def _trial(plan: TrialPlan) -> str:
    return plan.trial_dir.relative_to(plan.runs).as_posix()
