"""Finds the records below the given folders and groups them. What is ambiguous or unreadable is an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from transfer.benchmarks import BENCHMARKS
from transfer.record import RECORD_NAME, TrialRecord


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


def weights_of(record: TrialRecord) -> Weights:
    return Weights(name=record.weights.name, sha256=record.weights.sha256)


def find_records(folders: Sequence[Path]) -> list[TrialRecord]:
    """Every record below the folders, each file once, in the order of their paths.

    Raises:
        UserError: a folder is missing or holds no record; a record cannot be read; two records describe the same
            trial (suite, benchmark, weights, seed).
    """
    if not folders:
        raise UserError("no folder given: name the one that holds the records, e.g. runs/")
    paths: dict[Path, Path] = {}
    for folder in folders:
        paths |= {path.resolve(): path for path in _record_paths(folder)}
    seen: dict[tuple[str, str, Weights, int], Path] = {}
    records = []
    for path in sorted(paths.values()):
        record = _load(path)
        trial = (record.suite, record.benchmark, weights_of(record), record.seed)
        if trial in seen:
            raise UserError(
                f"{seen[trial]} and {path} are the same trial ({record.suite}, {record.benchmark}, "
                f"{record.weights.name}, seed {record.seed}): report on one of them"
            )
        seen[trial] = path
        records.append(record)
    return records


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
        raise UserError(f"{folder} is not a folder: name the one that holds the records, e.g. runs/")
    found = list(folder.rglob(RECORD_NAME))
    if not found:
        raise UserError(f"there is no {RECORD_NAME} below {folder}: run trials first, or name the folder of their runs")
    return found


def _load(path: Path) -> TrialRecord:
    try:
        return TrialRecord.load(path)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): mend it or report on another folder") from None
