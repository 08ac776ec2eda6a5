"""The records of a board: a folder that many hands fill, where one that does not hold must not hide the others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from transfer.record import RECORD_NAME, TrialRecord
from transfer.report.read.archive import is_archive, read_archive
from transfer.report.read.ledgers import FoundLedger, find_ledgers
from transfer.report.read.trials import (
    FoundTrial,
    TrialKey,
    broken_seals,
    contradictions,
    copies,
    read_below,
    read_packed,
    trial_key,
)
from twist_common.errors import UserError
from twist_common.strict_json import read_bounded

REPORT_PAGE = "report.html"


@dataclass(frozen=True)
class BoardEntry(FoundTrial):
    """A record that holds; what is beside it is not kept.

    Attributes:
        record_file, report_file: paths below the board's folder. For a record in an archive, which a browser cannot
            look into, both are the archive. ``report_file`` is empty where there is no report at or above the record.
    """

    record_file: str
    report_file: str


@dataclass(frozen=True)
class FoundBoard:
    """What a board's folder holds.

    Attributes:
        left_out: a sentence for each record, archive and ledger that does not hold and is in nothing else here.
    """

    entries: tuple[BoardEntry, ...]
    ledgers: tuple[FoundLedger, ...]
    left_out: tuple[str, ...]


def find_board(folder: Path) -> FoundBoard:
    """Reads records, archives and ledgers below a folder as strictly as a report does, and leaves out what it refuses.

    Raises:
        UserError: there is no such folder, or neither a record nor an archive in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name the one that holds the board's records and archives")
    found: list[BoardEntry] = []
    ledgers: list[FoundLedger] = []
    left_out: list[str] = []
    num_sources = 0
    for path in sorted(Path(above, name) for above, _, names in os.walk(folder) for name in names):
        packed = is_archive(path)
        num_sources += packed or path.name == RECORD_NAME
        try:
            if packed:
                files = read_archive(path)
                ledgers += find_ledgers({f"{path}:{name}": partial(files.__getitem__, name) for name in files}, [path])
                names = (name for name in sorted(files) if PurePosixPath(name).name == RECORD_NAME)
                reads = [partial(_packed, path, name, files, folder) for name in names]
            elif path.name == RECORD_NAME:
                reads = [partial(_plain, path, folder)]
            else:
                ledgers += find_ledgers({str(path): partial(read_bounded, path)}, [])
                reads = []
        except UserError as error:
            left_out.append(str(error))
            continue
        for read in reads:
            try:
                found.append(read())
            except UserError as error:
                left_out.append(str(error))
    if not num_sources:
        raise UserError(f"there is no {RECORD_NAME} and no archive below {folder}: copy the records of trials into it")
    kept, doubtful = _undisputed(found)
    # Paths are said from the folder on, so that the same records give the same bytes wherever they are.
    said = (line.replace(f"{folder}{os.sep}", "") for line in (*left_out, *doubtful))
    return FoundBoard(tuple(kept), tuple(ledgers), tuple(said))


def _plain(path: Path, folder: Path) -> BoardEntry:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path} leads out of the board's folder: copy the record itself")
    record = TrialRecord.load(path)
    _check(FoundTrial(str(path), record, partial(read_below, path.parent)))
    above = (parent for parent in path.parents if parent.is_relative_to(folder))
    page = next((each / REPORT_PAGE for each in above if (each / REPORT_PAGE).is_file()), None)
    report = page.relative_to(folder).as_posix() if page else ""
    return BoardEntry(str(path), record, _unread, path.relative_to(folder).as_posix(), report)


def _packed(archive: Path, name: str, files: Mapping[str, bytes], folder: Path) -> BoardEntry:
    where = f"{archive}:{name}"
    record = TrialRecord.from_bytes(files[name], where)
    _check(FoundTrial(where, record, partial(read_packed, files, PurePosixPath(name).parent)))
    place = archive.relative_to(folder).as_posix()
    return BoardEntry(where, record, _unread, place, place)


def _check(trial: FoundTrial) -> None:
    """Raises UserError if the record is not what its trial wrote, or if what is beside it is not the trial's."""
    if broken := broken_seals([trial.record]):
        raise UserError(f"{trial.where} was edited after its trial: {broken[0]}")
    for name, _, is_own in trial.files():
        if not is_own:
            raise UserError(f"{name} beside {trial.where} is not the file that the record names")


def _unread(name: str) -> None:
    """Nothing is beside a record once it was checked."""


def _undisputed(found: list[BoardEntry]) -> tuple[list[BoardEntry], list[str]]:
    """Each trial once, without those that contradict each other and without copies of another seed, and why."""
    disputed: set[str] = set()
    lines = []
    for first, second, sentence in contradictions(found):
        disputed |= {first.where, second.where}
        lines.append(sentence)
    once: dict[TrialKey, BoardEntry] = {}
    for entry in found:
        if entry.where not in disputed:
            once.setdefault(trial_key(entry.record), entry)
    copied = {trial_key(record): line for record, line in copies(entry.record for entry in once.values())}
    kept = [entry for key, entry in once.items() if key not in copied]
    return kept, [*lines, *copied.values()]
