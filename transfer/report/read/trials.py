"""Finds the records, and the pictures beside them, in the given folders and archives; refuses what is ambiguous."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from transfer.outcomes.file import read_outcomes
from transfer.outcomes.kind import Outcomes
from transfer.record import OUTCOMES_NAME, RECORD_NAME, TrialRecord
from transfer.report.read.archive import is_archive, read_archive
from transfer.report.read.evidence import holds_evidence
from twist_common.errors import UserError, is_not_the_files
from twist_common.files import sha256_bytes, sha256_text

MAX_PICTURE_BYTES = 1 << 20
MAX_FILE_BYTES = 64 << 20  # of what else is beside a record
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
    """A record and where it was found; ``read`` returns a file by its path from the record's folder, or None."""

    where: str
    record: TrialRecord
    read: Callable[[str], bytes | None]

    def picture(self, name: str) -> bytes | None:
        """A picture beside the record; None if it is missing, not a picture, or its name leads out of the folder."""
        path = PurePosixPath(name)
        if path.suffix.lower() not in PICTURE_SUFFIXES or path.is_absolute() or ".." in path.parts:
            return None
        content = self.read(name)
        return content if content and len(content) <= MAX_PICTURE_BYTES and media_type(content) else None

    def files(self) -> Iterator[tuple[str, bytes, bool]]:
        """Name and content of each file that is still beside the record, and whether it is the one that it names.

        Work folders are cleaned up, and archives have only the pictures that are shown.
        """
        for name, sha256 in self.record.files.items():
            content = self.read(name)
            if content is not None:
                yield name, content, sha256_bytes(content) == sha256

    def outcomes(self) -> Outcomes | None:
        """The outcomes of the test images beside the record; None if there are none.

        Raises:
            UserError: they are not those that the record names, or cannot be read.
        """
        content = self.read(OUTCOMES_NAME) if OUTCOMES_NAME in self.record.files else None
        if content is None:
            return None
        if sha256_bytes(content) != self.record.files[OUTCOMES_NAME]:
            raise UserError(
                f"{OUTCOMES_NAME} beside {self.where} is not the file that the record names: fetch it again"
            )
        return read_outcomes(content, f"{OUTCOMES_NAME} beside {self.where}")


def outcomes_of(trials: Sequence[FoundTrial]) -> Callable[[TrialRecord], Outcomes | None]:
    """Reads the outcomes of the trial of a record; None of a record that is not among these."""
    by_key = {trial_key(trial.record): trial for trial in trials}

    def read(record: TrialRecord) -> Outcomes | None:
        trial = by_key.get(trial_key(record))
        return trial.outcomes() if trial and trial.record.stated_seal == record.stated_seal else None

    return read


def find_records(sources: Sequence[Path]) -> list[TrialRecord]:
    """The records of :func:`find_trials`, which raises."""
    return [trial.record for trial in find_trials(sources)]


def find_trials(sources: Sequence[Path]) -> list[FoundTrial]:
    """Every record below the folders and in the archives, each trial once, in the order of folders and paths.

    The same trial may occur several times, e.g. in archives of several machines, if it ended the same way.

    Raises:
        UserError: a source is missing or holds neither a record nor evidence; a record cannot be read; two records of
            one trial (suite, benchmark, weights, seed) contradict each other; two trials have the same inputs; see also
            :func:`~transfer.report.read.archive.read_archive`.
    """
    if not sources:
        raise UserError("no folder given: name the one that holds the records, e.g. runs/")
    found = list(_all_trials(sources))
    for _, _, sentence in contradictions(found):
        raise UserError(sentence)
    kept: dict[TrialKey, FoundTrial] = {}
    for trial in found:
        kept.setdefault(trial_key(trial.record), trial)
    return list(kept.values())


def contradictions(trials: Iterable[FoundTrial]) -> Iterator[tuple[FoundTrial, FoundTrial, str]]:
    """Two trials of which at most one can be right, with a sentence for each such pair."""
    kept: dict[TrialKey, FoundTrial] = {}
    by_inputs: dict[str, FoundTrial] = {}
    for trial in trials:
        record = trial.record
        other = by_inputs.setdefault(record.inputs_sha256, trial)
        if trial_key(other.record)[1:] != trial_key(record)[1:]:  # a suite is no input
            yield (
                other,
                trial,
                f"{other.where} ({trial_name(other.record)}) and {trial.where} ({trial_name(record)}) were made from "
                f"the same inputs ({record.inputs_sha256[:8]}), which hold weights and seed: remove the copy",
            )
        first = kept.setdefault(trial_key(record), trial)
        for field, what in AGREEING.items():
            if getattr(first.record, field) != getattr(record, field):
                yield (
                    first,
                    trial,
                    f"{first.where} and {trial.where} are the same trial ({record.suite}, {record.benchmark}, "
                    f"{record.weights.name}, seed {record.seed}) with different {what}: report on one of them",
                )
                break


def trial_key(record: TrialRecord) -> TrialKey:
    """What identifies a trial."""
    return record.suite, record.benchmark, record.weights.name, record.weights.sha256, record.seed


def trial_name(record: TrialRecord) -> str:
    """E.g. ``"demo/demo-seg, twist-cd46df5d, seed 0"``."""
    return f"{record.suite}/{record.benchmark}, {record.weights.folder}, seed {record.seed}"


def broken_seals(records: Iterable[TrialRecord]) -> list[str]:
    """The trials whose record is no longer what was written when they ended, and what has changed."""
    found = []
    for record in records:
        if record.stated_seal and not record.seal_holds:
            found.append(f"{trial_name(record)}: its content is not that of its seal")
        if record.resolved_config and record.config_sha256 != sha256_text(record.resolved_config):
            found.append(f"{trial_name(record)}: its config is not that of its config_sha256")
    return found


def copies(records: Iterable[TrialRecord]) -> list[tuple[TrialRecord, str]]:
    """The done trials that are another seed's once more: figures, time to the microsecond and memory are the same."""
    firsts: dict[object, TrialRecord] = {}
    found = []
    for record in (record for record in records if record.status == "done"):
        figures = tuple(sorted((name, metric.value) for name, metric in record.metrics.items()))
        measured = (figures, record.wall_seconds, record.device_hours, record.peak_bytes)
        first = firsts.setdefault((trial_key(record)[:-1], measured), record)
        if first is not record:
            line = f"{trial_name(record)}: figures, time and memory are those of seed {first.seed}, a copy"
            found.append((record, line))
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
        record = TrialRecord.load(path)
        yield FoundTrial(str(path), record, partial(read_below, path.parent))
    for archive in (source for source in sources if is_archive(source)):
        files = read_archive(archive)
        names = [name for name in sorted(files) if PurePosixPath(name).name == RECORD_NAME]
        if not names and not holds_evidence(archive):
            raise UserError(f"there is no {RECORD_NAME} in {archive}: pack the folder of the runs again")
        for name in names:
            where = f"{archive}:{name}"
            record = TrialRecord.from_bytes(files[name], where)
            yield FoundTrial(where, record, partial(read_packed, files, PurePosixPath(name).parent))


def read_below(folder: Path, name: str) -> bytes | None:
    """At most one byte more than a file may have; None if there is no such file, or if it is outside the folder."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # not readable; a name that no file can have
        if is_not_the_files(error):
            raise
        return None


def read_packed(files: Mapping[str, bytes], folder: PurePosixPath, name: str) -> bytes | None:
    """The same of a file in an archive."""
    return files.get((folder / name).as_posix())
