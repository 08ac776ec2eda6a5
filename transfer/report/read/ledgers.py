"""The ledgers of the given folders and archives (:mod:`transfer.ledger`), and of the folders that those lie in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transfer.ledger import LEDGER_NAME, Ledger, read_ledger
from transfer.record import RECORD_NAME
from transfer.report.read.archive import is_archive
from twist_common.strict_json import read_bounded

FOLDER = "ledgers"  # in an archive: ledgers/<number>/<scope>/ledger.jsonl
MAX_ABOVE = 4  # a trial's folder is four below that of its ledger


@dataclass(frozen=True)
class FoundLedger:
    """A ledger, as far as it is about what is reported.

    Attributes:
        content: the file's; the whole of it, as the lines hold each other.
        scope: the only folder below the ledger's that is reported; empty for all.
        folders: those of the ledger; none in an archive.
    """

    content: bytes
    scope: str
    ledger: Ledger
    folders: tuple[Path, ...] = ()

    def covers(self, trial: str) -> bool:
        """Whether a trial is in the scope, by its folder."""
        return PurePosixPath(trial).is_relative_to(self.scope)

    def has_record(self, trial: str) -> bool:
        """Whether there is a record now, e.g. of a trial that has ended since the records were read."""
        return any((folder / trial / RECORD_NAME).is_file() for folder in self.folders)


def find_ledgers(files: Mapping[str, Callable[[], bytes]], sources: Sequence[Path]) -> tuple[FoundLedger, ...]:
    """Every ledger once.

    Args:
        files: path to content of what is in the sources.

    Raises:
        UserError: a file is not what its name says.
    """
    found: dict[tuple[bytes, str], FoundLedger] = {}

    def keep(content: bytes, where: str, scope: str, *folders: Path) -> None:
        key = content, scope if scope != "." else ""
        found.setdefault(key, FoundLedger(*key, read_ledger(content, where), folders))

    archives = tuple(f"{source}:" for source in sources if is_archive(source))
    for where, read in files.items():
        path = PurePosixPath(where)
        if path.name == LEDGER_NAME:
            packed = re.search(rf"/{FOLDER}/\d+(?:/(.*))?$", path.parent.as_posix())
            of_runs = not packed and not where.startswith(archives)
            keep(read(), where, (packed[1] or "") if packed else "", *([Path(path.parent)] if of_runs else []))
    for source in (source.resolve() for source in sources if not is_archive(source)):
        for folder in source.parents[:MAX_ABOVE]:
            if (folder / LEDGER_NAME).is_file():
                path_of_scope = source.relative_to(folder).as_posix()
                keep(read_bounded(folder / LEDGER_NAME), str(folder / LEDGER_NAME), path_of_scope, folder)
    return tuple(found[key] for key in sorted(found))


def packed_ledgers(ledgers: Sequence[FoundLedger]) -> dict[str, bytes]:
    """Path to content, as archives hold them below the records."""
    return {
        PurePosixPath(FOLDER, str(index), each.scope, LEDGER_NAME).as_posix(): each.content
        for index, each in enumerate(ledgers)
    }
