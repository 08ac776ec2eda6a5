"""What the report says about its records' seals, and about their ledger."""

from __future__ import annotations

from transfer.record import SEALED_IN_PART, TrialRecord
from transfer.report.compare.model import Report
from transfer.report.lay_out import format as fmt
from transfer.report.read.trials import broken_seals, copies

MAX_WARNINGS = 20  # on the page, about the ledger


def seal_cell(record: TrialRecord) -> str:
    """The start of the seal, or that it does not hold."""
    if broken_seals([record]):
        return "edited"
    of_part = " (in part)" if record.schema_version == SEALED_IN_PART else ""
    return fmt.short_hash(record.stated_seal) + of_part


def seal_warnings(report: Report) -> list[str]:
    """A sentence for each record that was edited or copied, and one about those of the older schema."""
    found = [f"Edited after its trial: {line}." for line in broken_seals(report.records)]
    found += [f"Not a trial of its own: {line}." for _, line in copies(report.records)]
    if in_part := sum(record.schema_version == SEALED_IN_PART for record in report.records):
        found.append(
            f"{fmt.plural(in_part, 'record')} of the older schema {'is' if in_part == 1 else 'are'} sealed in part: "
            "the figures, and not e.g. the weights' name, the device or what differs from the protocol."
        )
    return found


def ledger_fact(report: Report) -> str:
    """For the first lines: whether there is a ledger, and what a reader of means should know of it."""
    found = report.ledger
    if found.num_lines is None:
        return "no ledger"
    counts = {"retried": found.num_retried, "without an end": found.num_open}
    said = "".join(f", {fmt.plural(count, 'trial')} {what}" for what, count in counts.items() if count)
    return f"ledger of {fmt.plural(found.num_lines, 'line')}{said}"


def ledger_warnings(report: Report) -> list[str]:
    """A sentence for each trial that the ledger and the records disagree on, or that was done several times."""
    lines = [*report.ledger.faults, *report.ledger.chosen]
    more = [f"{len(lines) - MAX_WARNINGS} more are in report.json"] if len(lines) > MAX_WARNINGS else []
    return [f"Ledger: {line}." for line in (*lines[:MAX_WARNINGS], *more)]
