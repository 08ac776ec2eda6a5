"""Whether the records are all that the ledgers say there were: what was dropped, replaced or never written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from transfer.ledger import ENDS, Entry, trial_path
from transfer.record import SEALED_IN_PART, TrialRecord
from transfer.report.read.ledgers import FoundLedger


@dataclass(frozen=True)
class LedgerFindings:
    """What was found.

    Attributes:
        num_lines: about trials of the sources; None where there is no ledger.
        faults: a sentence without its stop for each trial whose records and lines contradict each other.
        chosen: the same for each trial that was done several times with different figures.
        num_retried: trials that failed before they were done.
        num_open: trials that were started and neither ended nor were removed.
    """

    num_lines: int | None
    faults: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    num_retried: int = 0
    num_open: int = 0


def check_ledgers(records: Sequence[TrialRecord], ledgers: Sequence[FoundLedger]) -> LedgerFindings:
    """Holds the records against the ledgers."""
    by_trial = {trial_path(record): record for record in records}
    lines = [entry for each in ledgers for entry in each.ledger.entries]
    seals = {entry.seal for entry in lines}
    faults: dict[str, str] = {}  # by trial, or by ledger and line
    chosen: dict[str, str] = {}
    retried, unended = set(), set()
    for found in ledgers:
        for line in found.ledger.breaks():
            where = f"ledger {found.ledger.head[:8]}"
            faults[f"{where}:{line}"] = f"{where}: line {line} does not follow from the line before it"
        for trial, entries in _by_trial(found).items():
            ends = [entry for entry in entries if entry.event in ENDS]
            if entries[-1].event == "started":
                unended.add(trial)
            if not ends:
                continue
            record = by_trial.get(trial)
            if record is None and not found.has_record(trial):
                removed = ", as was noted," if entries[-1].event == "removed" else ""
                faults[trial] = f"{trial} {_said(ends[-1])}; its record is{removed} gone"
            elif record and record.seal != ends[-1].seal and not (record.seal in seals and _agree(record, ends[-1])):
                faults[trial] = f"{trial} {_said(ends[-1])}; its record is another"
            figures = {json.dumps(end.metrics, sort_keys=True): end for end in ends if end.event == "done"}
            if len(figures) > 1:
                each = "; ".join(_said(end) for end in figures.values())
                chosen[trial] = f"{trial} was done {len(figures)} times with different figures: {each}"
            if ends[-1].event == "done" and any(end.event == "failed" for end in ends):
                retried.add(trial)
    starts = {
        sha256: entry.trial
        for each in ledgers
        for sha256, entry in zip(each.ledger.hashes, each.ledger.entries, strict=True)
        if entry.event == "started"
    }
    for trial, record in by_trial.items():
        if record.schema_version == SEALED_IN_PART or trial in faults:
            continue
        if record.seal not in seals and any(found.covers(trial) for found in ledgers):
            faults[trial] = f"{trial} has a record of which no ledger has a line"
        elif record.ledger and starts.get(record.ledger) != trial:
            faults[trial] = f"{trial} names the line of its start ({record.ledger[:8]}), which is in no ledger"
    num_lines = sum(len(entries) for found in ledgers for entries in _by_trial(found).values()) if ledgers else None
    return LedgerFindings(num_lines, tuple(faults.values()), tuple(chosen.values()), len(retried), len(unended))


def _by_trial(found: FoundLedger) -> dict[str, list[Entry]]:
    entries: dict[str, list[Entry]] = {}
    for entry in found.ledger.entries:
        if found.covers(entry.trial):
            entries.setdefault(entry.trial, []).append(entry)
    return entries


def _agree(record: TrialRecord, end: Entry) -> bool:
    """Whether a record that another ledger has too is of a trial that ended the same way."""
    return record.status == end.event and {name: each.value for name, each in record.metrics.items()} == end.metrics


def _said(end: Entry) -> str:
    if end.event == "failed":
        return "failed"
    return f"was done with {', '.join(f'{name} {value:.6g}' for name, value in end.metrics.items())}"
