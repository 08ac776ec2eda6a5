"""Finds the records in the given folders and archives and groups them. What is ambiguous or unreadable is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.errors import UserError
from transfer.benchmarks import BENCHMARKS
from transfer.record import RECORD_NAME, TrialRecord
from transfer.report.read.evidence import holds_evidence


@dataclass(frozen=True, order=True)
class Weights:
    """Which initialisation: two files of one name are two initialisations."""

    name: str
    sha256: str


@dataclass(frozen=True)
class BenchmarkKey:
    """Figures are compared within one benchmark of one suite, and nowhere else."""

    suite: str
    benchmark: str


TrialKey = tuple[str, str, Weights, int]  # suite, benchmark, weights, seed


@dataclass(frozen=True)
class FoundTrial:
    """A record and where it stands; ``read`` gives a picture by its path from the record's folder, None without it."""

    where: str
    record: TrialRecord
    read: Callable[[str], bytes | None]


def weights_of(record: TrialRecord) -> Weights:
    return Weights(name=record.weights.name, sha256=record.weights.sha256)


def find_records(sources: Sequence[Path]) -> list[TrialRecord]:
    """The records of :func:`find_trials`, which raises."""
    return [trial.record for trial in find_trials(sources)]


def find_trials(sources: Sequence[Path]) -> list[FoundTrial]:
    """Every record below the folders and in the archives, each trial once, in the order of folders and paths.

    The same trial may come several times, e.g. from archives of several machines, if it ended the same way.

    Raises:
        UserError: a source is missing or holds neither a record nor evidence; a record cannot be read; two records of
            one trial (suite, benchmark, weights, seed) contradict each other; see also
            :func:`~transfer.report.read.archive.read_trials`.
    """
    if not sources:
        raise UserError("no folder given: name the one that holds the records, e.g. runs/")
    kept: dict[TrialKey, FoundTrial] = {}
    for trial in _located(sources):
        record = trial.record
        first = kept.setdefault(trial_key(record), trial)
        if different := _contradiction(first.record, record):
            raise UserError(
                f"{first.where} and {trial.where} are the same trial ({record.suite}, {record.benchmark}, "
                f"{record.weights.name}, seed {record.seed}) with different {different}: report on one of them"
            )
    return list(kept.values())


def trial_key(record: TrialRecord) -> TrialKey:
    """What makes a trial the one that it is."""
    return record.suite, record.benchmark, weights_of(record), record.seed


def _contradiction(first: TrialRecord, second: TrialRecord) -> str | None:
    """What two records of one trial disagree about; None if they tell the same."""
    for what, name in (
        ("outcomes", "status"),
        ("metrics", "metrics"),
        ("configs", "config_sha256"),
        ("protocol versions", "protocol_version"),
        ("inputs", "inputs_sha256"),
        ("inflated references", "inflated"),
        ("ledgers of the test images", "test_scorings"),
    ):
        if getattr(first, name) != getattr(second, name):
            return what
    return None


def _located(sources: Sequence[Path]) -> Iterator[FoundTrial]:
    """Each record with where it stands; a file is read once, however many folders lead to it."""
    from transfer.report.lay_out.strips import read_beside
    from transfer.report.read.archive import is_archive, read_trials

    paths: dict[Path, Path] = {}
    folders = [source for source in sources if not is_archive(source)]
    for folder in folders:
        paths |= {path.resolve(): path for path in _record_paths(folder)}
    for path in sorted(paths.values()):
        yield FoundTrial(str(path), _load(path), partial(read_beside, path.parent))
    for archive in (source for source in sources if is_archive(source)):
        yield from read_trials(archive)


def group(records: Iterable[TrialRecord]) -> dict[BenchmarkKey, list[TrialRecord]]:
    """Suites by name; within them benchmarks in the order of the table of benchmarks, unknown ones last."""
    groups: dict[BenchmarkKey, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(BenchmarkKey(record.suite, record.benchmark), []).append(record)
    order = {name: index for index, name in enumerate(BENCHMARKS)}

    def rank(key: BenchmarkKey) -> tuple[str, int, str]:
        return key.suite, order.get(key.benchmark, len(order)), key.benchmark

    return {key: groups[key] for key in sorted(groups, key=rank)}


def _record_paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder or an archive (.tar.gz): name what holds the records, e.g. runs/")
    found = list(folder.rglob(RECORD_NAME))
    if not found and not holds_evidence(folder):
        raise UserError(f"there is no {RECORD_NAME} below {folder}: run trials first, or name the folder of their runs")
    return found


def _load(path: Path) -> TrialRecord:
    try:
        return TrialRecord.load(path)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): mend it or report on another folder") from None
