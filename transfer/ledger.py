"""The ledger of a folder of runs: a line for every trial that was started, done, failed or removed.

Each line carries the hash of the line before, so that none can be taken out or changed without changing all that
follow, and a record names the line of its start. :mod:`transfer.trials.run_ledger` appends to it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from transfer.record import TrialRecord
from twist_common.errors import UserError
from twist_common.files import sha256_bytes
from twist_common.strict_json import loads, reason, typed

LEDGER_NAME = "ledger.jsonl"
ENDS = ("done", "failed")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line.

    Attributes:
        trial: folder of the trial below the ledger's, e.g. ``"demo/demo-seg/twist-cd46df5d/trial-0"``.
        time: UTC.
        seal: of the record that the trial ended with; ``metrics``: its figures in percent.
        previous: SHA-256 of the line before; empty in the first.
    """

    event: Literal["started", "done", "failed", "removed"]
    trial: str
    inputs_sha256: str
    time: str
    seal: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    previous: str = ""

    def to_line(self) -> bytes:
        """The line with its end."""
        content = {name: value for name, value in dataclasses.asdict(self).items() if value or name == "previous"}
        return json.dumps(content, allow_nan=False).encode() + b"\n"


@dataclass(frozen=True)
class Ledger:
    """What is in the file.

    Attributes:
        hashes: of each entry's line.
        torn: whether the file ends in a part of a line: a process was killed while it wrote, and the trial runs again.
    """

    entries: tuple[Entry, ...]
    hashes: tuple[str, ...]
    torn: bool = False

    @property
    def head(self) -> str:
        """Hash of the last line; empty in an empty ledger."""
        return self.hashes[-1] if self.hashes else ""

    def breaks(self) -> list[int]:
        """The lines, from 1, that do not carry the hash of the line before."""
        before = ("", *self.hashes)
        return [index + 1 for index, entry in enumerate(self.entries) if entry.previous != before[index]]


def read_ledger(content: bytes, where: str) -> Ledger:
    """Reads the file's content; ``where`` names it in errors.

    Raises:
        UserError: a whole line is not one of a ledger.
    """
    *lines, rest = content.split(b"\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(typed(loads(line), Entry, "the line"))
        except ValueError as error:
            raise UserError(
                f"{where} is not a ledger of trials (line {number}: {reason(error)}): restore the file, or move it away"
            ) from None
    return Ledger(tuple(entries), tuple(sha256_bytes(line) for line in lines), torn=bool(rest))


def trial_path(record: TrialRecord) -> str:
    """The folder of the record's trial, as entries name it."""
    return PurePosixPath(record.suite, record.benchmark, record.weights.folder, f"trial-{record.seed}").as_posix()
