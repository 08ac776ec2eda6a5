"""What stands beside the records in the given folders and archives: near-duplicates, ablations, pre-training runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from common.errors import UserError
from transfer.benchmarks import BENCHMARKS
from transfer.report.read import ablation_files, near_duplicates, pretraining
from transfer.report.read.ablation_files import Ablation
from transfer.report.read.near_duplicates import NearDuplicates
from transfer.report.read.pretraining import Pretraining

COURSES = "courses"  # folder of the logs of an ablation's runs in an archive, beside its outcome
Read = Callable[[], bytes]
Kind = TypeVar("Kind", NearDuplicates, Ablation)


@dataclass(frozen=True)
class Evidence:
    """Each in the order of its names; the same for the same content, wherever it was found."""

    near_duplicates: tuple[NearDuplicates, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    pretraining: tuple[Pretraining, ...] = ()

    def near_duplicates_of(self, benchmark: str) -> list[NearDuplicates]:
        """Those of the test images of a benchmark."""
        known = BENCHMARKS.get(benchmark)
        return [each for each in self.near_duplicates if known and each.data_set == known.dataset.name]

    def pretraining_facts(self, weights_sha256: str) -> dict[str, Any]:
        """``epochs`` and ``multi_crop`` of the run that exported these weights, as far as they are known here."""
        run = next((run for run in self.pretraining if run.facts.get("backbone_sha256") == weights_sha256), None)
        facts = run.facts if run else {}
        known: dict[str, Any] = {"epochs": facts["epochs"]} if "epochs" in facts else {}
        return known | ({"multi_crop": facts["num_local_crops"] > 0} if "num_local_crops" in facts else {})

    def files(self) -> dict[str, bytes]:
        """Path to content, as archives hold it below the records."""
        found: dict[str, bytes] = {}
        for index, counted in enumerate(self.near_duplicates):
            found[f"{near_duplicates.FOLDER}/{index}-{_safe(counted.data_set)}.json"] = counted.content
        for index, ablation in enumerate(self.ablations):
            folder = f"ablations/{index}-{_safe(ablation.label)}"
            found[f"{folder}/{ablation_files.OUTCOME_FILE}"] = ablation.content
            for number, run in enumerate(ablation.courses):
                found[f"{folder}/{COURSES}/{number}/{pretraining.ARCHIVED_FILE}"] = run.to_bytes()
        for index, run in enumerate(self.pretraining):
            found[f"pretraining/{index}-{_safe(run.label)}/{pretraining.ARCHIVED_FILE}"] = run.to_bytes()
        return found


def find_evidence(sources: Sequence[Path]) -> Evidence:
    """Everything of these kinds below the folders and in the archives, each once.

    Raises:
        UserError: a file is not what its name says; two files contradict each other.
    """
    files = dict(_files(sources))
    counted = (near_duplicates.read(read(), where) for where, read in files.items() if _is_count(where))
    outcomes = {
        where: ablation_files.read(read(), where)
        for where, read in files.items()
        if _name(where) == ablation_files.OUTCOME_FILE
    }
    arms = {_beside(where, run.folder) for where, outcome in outcomes.items() for run in outcome.runs}
    ablations = (replace(outcome, courses=_courses(outcome, where, files)) for where, outcome in outcomes.items())
    return Evidence(
        near_duplicates=_agreeing(counted, lambda each: each.counts),
        ablations=_agreeing(ablations, lambda each: each.content),
        pretraining=_distinct(_runs(files, arms)),
    )


def holds_evidence(source: Path) -> bool:
    """Whether there is anything of these kinds below a folder or in an archive."""
    names = (ablation_files.OUTCOME_FILE, pretraining.CURVES_FILE, pretraining.ARCHIVED_FILE)
    return any(_is_count(where) or _name(where) in names for where, _ in _files([source]))


def _files(sources: Sequence[Path]) -> Iterator[tuple[str, Read]]:
    from transfer.report.read.archive import is_archive, read_archive

    for source in sources:
        if is_archive(source):
            content = read_archive(source)
            yield from ((f"{source}:{name}", partial(content.__getitem__, name)) for name in sorted(content))
            continue
        for folder, folders, names in os.walk(source):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".json", ".jsonl")):
                    path = Path(folder, name)
                    yield str(path), partial(_read, path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): mend it or report on another folder") from None


def _courses(outcome: Ablation, where: str, files: dict[str, Read]) -> tuple[Pretraining, ...]:
    """What the runs that have a result logged, from their own folders, or from the archive that the ablation is in."""
    found = []
    for run in (run for run in outcome.runs if run.failure is None):
        path = f"{_beside(where, run.folder)}/{pretraining.CURVES_FILE}"
        if path in files or Path(path).is_file():  # an ablation's runs may be outside of the given folders
            lines = files[path]() if path in files else _read(Path(path))
            found.append(replace(pretraining.read_run(lines, None, path), label=run.setting))
    archived = _beside(where, COURSES)
    in_archive = [path for path in files if path.startswith(f"{archived}/")]
    return tuple(found or [pretraining.read_archived(files[path](), path) for path in in_archive])


def _runs(files: dict[str, Read], arms: set[str]) -> Iterator[Pretraining]:
    """Runs that are no part of an ablation, which are shown there."""
    for where, read in files.items():
        if _name(where) == pretraining.ARCHIVED_FILE and PurePosixPath(where).parent.parent.name != COURSES:
            yield pretraining.read_archived(read(), where)
        elif _name(where) == pretraining.CURVES_FILE and _beside(where, ".") not in arms:
            note = files.get(str(PurePosixPath(where).parent / pretraining.NOTE_FILE))
            yield pretraining.read_run(read(), note() if note else None, where)


def _agreeing(found: Iterable[Kind], content: Callable[[Kind], object]) -> tuple[Kind, ...]:
    kept: dict[tuple[Any, ...], Kind] = {}
    for each in found:
        first = kept.setdefault(each.identity, each)
        if content(first) != content(each):
            names = ", ".join(str(part) for part in each.identity if part)
            raise UserError(f"two files tell different results of {names}: report on one of them")
    return tuple(kept[identity] for identity in sorted(kept))


def _distinct(runs: Iterable[Pretraining]) -> tuple[Pretraining, ...]:
    """Each run once; different ones of one name are numbered."""
    kept: list[Pretraining] = []
    for run in sorted(runs, key=lambda each: (each.label, each.to_bytes())):
        if any((run.facts, run.curves) == (other.facts, other.curves) for other in kept):
            continue
        same_name = sum(other.label.split(" #")[0] == run.label for other in kept)
        kept.append(replace(run, label=f"{run.label} #{same_name + 1}") if same_name else run)
    return tuple(kept)


def _is_count(where: str) -> bool:
    path = PurePosixPath(where)
    return path.suffix == ".json" and path.parent.name == near_duplicates.FOLDER


def _name(where: str) -> str:
    return PurePosixPath(where).name


def _beside(where: str, folder: str) -> str:
    """A folder that is told relative to a file's, without the detours."""
    return os.path.normpath(PurePosixPath(where).parent / folder)


def _safe(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in name)[:60]
