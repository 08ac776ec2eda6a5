"""Did trials that declare no difference run the protocol? This repository's own config says so, not what most ran."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.task import task_of
from twist_common.errors import UserError

# What tasks raise for a config that no trial of theirs wrote: damaged text, or settings that are not there.
NOT_THEIRS = (ValueError, LookupError, TypeError, AttributeError, UserError)


def undeclared(records: Sequence[TrialRecord], version: int) -> dict[str, tuple[str, ...]]:
    """Hash of a resolved config to what its trials differ in without saying so; empty for the protocol's own.

    A trial has compared its config with the protocol's, so where all have the same there is nothing to ask. Where they
    have not, the task compares each with the protocol as it is resolved now, without what belongs to the machine and
    the weights; this imports the task's framework. What all have otherwise on own data follows from these. Where the
    protocol's own config is not known here, none is on protocol.

    Args:
        records: of one benchmark, done, of this protocol version, which declare no difference.
    """
    configs = {record.config_sha256: record for record in records}
    if len(configs) < 2:
        return dict.fromkeys(configs, ())
    benchmark = BENCHMARKS.get(records[0].benchmark)
    if benchmark is None or benchmark.protocol_version != version:
        return {sha256: (f"{_which(sha256)} is not that of all trials",) for sha256 in configs}
    found = {}
    for sha256, record in configs.items():
        try:
            difference = task_of(benchmark).undeclared_difference(record, benchmark)
        except ImportError as error:
            difference = [f"{_which(sha256)} is not that of all trials, and without {error.name} no protocol is known"]
        except NOT_THEIRS:
            difference = [f"{_which(sha256)} is not the protocol's"]
        found[sha256] = tuple(difference)
    of_data = set.intersection(*map(set, found.values())) if benchmark.dataset.is_own else set()
    return {sha256: tuple(line for line in found[sha256] if line not in of_data) for sha256 in found}


def _which(sha256: str) -> str:
    return f"resolved config {sha256[:8]}"
