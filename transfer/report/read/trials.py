"""Finds the records, and the pictures beside them, in the given folders and archives; refuses what is ambiguous."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from common.errors import UserError
from common.files import sha256_text
from transfer.record import RECORD_NAME, TrialRecord
from transfer.report.read.archive import is_archive, read_archive
from transfer.report.read.evidence import holds_evidence

MAX_PICTURE_BYTES = 1 << 20
MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}  # by the files' first bytes
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

# What two records of one trial must agree on: the field, and how a message names it.
AGREEING = {
    "status": "outcomes",
    "metrics": "metrics",
    "config_sha256": "configs",
    "protocol_version": "protocol versions",
    "inputs_sha256": "inputs",
    "inflated": "inflated references",
    "test_scorings": "ledgers of the test images",
}

TrialKey = tuple[str, str, str, str, int]  # suite, benchmark, weights' name and SHA-256, seed


@dataclass(frozen=True)
class FoundTrial:
    """A record and where it was found; ``read`` returns a picture by its path from the record's folder, or None."""

    where: str
    record: TrialRecord
    read: Callable[[str], bytes | None]


def find_records(sources: Sequence[Path]) -> list[TrialRecord]:
    """The records of :func:`find_trials`, which raises."""
    return [trial.record for trial in find_trials(sources)]


def find_trials(sources: Sequence[Path]) -> list[FoundTrial]:
    """Every record below the folders and in the archives, each trial once, in the order of folders and paths.

    The same trial may occur several times, e.g. in archives of several machines, if it ended the same way.

    Raises:
        UserError: a source is missing or holds neither a record nor evidence; a record cannot be read; two records of
            one trial (suite, benchmark, weights, seed) contradict each other; see also
            :func:`~transfer.report.read.archive.read_archive`.
    """
    if not sources:
        raise UserError("no folder given: name the one that holds the records, e.g. runs/")
    kept: dict[TrialKey, FoundTrial] = {}
    for trial in _all_trials(sources):
        record = trial.record
        first = kept.setdefault(trial_key(record), trial)
        for field, what in AGREEING.items():
            if getattr(first.record, field) != getattr(record, field):
                raise UserError(
                    f"{first.where} and {trial.where} are the same trial ({record.suite}, {record.benchmark}, "
                    f"{record.weights.name}, seed {record.seed}) with different {what}: report on one of them"
                )
    return list(kept.values())


def trial_key(record: TrialRecord) -> TrialKey:
    """What identifies a trial."""
    return record.suite, record.benchmark, record.weights.name, record.weights.sha256, record.seed


def trial_name(record: TrialRecord) -> str:
    """E.g. ``"demo/demo-seg, twist-cd46df5d, seed 0"``."""
    return f"{record.suite}/{record.benchmark}, {record.weights.name}-{record.weights.sha256[:8]}, seed {record.seed}"


def broken_seals(records: Iterable[TrialRecord]) -> list[str]:
    """The trials whose record is no longer what was written when they ended, and what has changed."""
    found = []
    for record in records:
        if record.metrics_sha256 and record.metrics_sha256 != record.figures_sha256():
            found.append(f"{trial_name(record)}: its figures are not those of its metrics_sha256")
        if record.resolved_config and record.config_sha256 != sha256_text(record.resolved_config):
            found.append(f"{trial_name(record)}: its config is not that of its config_sha256")
    return found


def media_type(content: bytes) -> str:
    """Of a picture, by its first bytes; empty for anything else."""
    return next((kind for magic, kind in MEDIA_TYPES.items() if content.startswith(magic)), "")


def _all_trials(sources: Sequence[Path]) -> Iterator[FoundTrial]:
    """Each record and where it was found; a file is read once, however many folders lead to it."""
    paths: dict[Path, Path] = {}
    for folder in (source for source in sources if not is_archive(source)):
        if not folder.is_dir():
            raise UserError(
                f"{folder} is not a folder or an archive (.tar.gz): name what holds the records, e.g. runs/"
            )
        found = list(folder.rglob(RECORD_NAME))
        if not found and not holds_evidence(folder):
            raise UserError(
                f"there is no {RECORD_NAME} below {folder}: run trials first, or name the folder of their runs"
            )
        paths |= {path.resolve(): path for path in found}
    for path in sorted(paths.values()):
        try:
            record = TrialRecord.load(path)
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror}): mend it or report on another folder") from None
        yield FoundTrial(str(path), record, partial(_read_picture, path.parent))
    for archive in (source for source in sources if is_archive(source)):
        files = read_archive(archive)
        names = [name for name in sorted(files) if PurePosixPath(name).name == RECORD_NAME]
        if not names and not holds_evidence(archive):
            raise UserError(f"there is no {RECORD_NAME} in {archive}: pack the folder of the runs again")
        for name in names:
            where = f"{archive}:{name}"
            read = partial(_picture_in_archive, files, PurePosixPath(name).parent)
            yield FoundTrial(where, TrialRecord.from_bytes(files[name], where), read)


def _read_picture(folder: Path, name: str) -> bytes | None:
    """A picture below a record's folder; None if it is missing, not a picture, or leads out of the folder."""
    if not _is_picture_name(name):
        return None
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(MAX_PICTURE_BYTES + 1)
    except (OSError, ValueError):  # not readable; a name that no file can have
        return None
    return content if _is_picture(content) else None


def _picture_in_archive(files: Mapping[str, bytes], folder: PurePosixPath, name: str) -> bytes | None:
    content = files.get((folder / name).as_posix(), b"")
    return content if _is_picture_name(name) and _is_picture(content) else None


def _is_picture_name(name: str) -> bool:
    """Whether it ends like a picture's and leads nowhere else."""
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.is_absolute() and ".." not in path.parts


def _is_picture(content: bytes) -> bool:
    return len(content) <= MAX_PICTURE_BYTES and bool(media_type(content))
