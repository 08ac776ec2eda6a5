"""What lies beside the records in the given folders and archives: near-duplicates, ablations, pre-training, preflights,
ledgers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from transfer.benchmarks import BENCHMARKS
from transfer.report.read.archive import is_archive, read_archive
from transfer.report.read.ledgers import FoundLedger, find_ledgers, packed_ledgers
from transfer.report.read.preflights import PREFLIGHT_FILE, Preflight
from transfer.report.read.preflights import read as read_preflight
from twist_common.errors import UserError
from twist_common.strict_json import read_bounded

# Each kind of evidence is imported where some of it is found: most reports have none.
if TYPE_CHECKING:
    from transfer.report.read.ablation_files import Ablation
    from transfer.report.read.near_duplicates import NearDuplicateCount
    from transfer.report.read.pretraining import Pretraining

COUNTS_FOLDER = "near-duplicates"
OUTCOME_FILE = "ablation.json"
CURVES_FILE, ARCHIVED_CURVES_FILE = CURVES_FILES = ("metrics.jsonl", "pretraining.json")
NOTE_FILE = "finished.json"
COURSES_FOLDER = "courses"  # the logs of an ablation's runs in an archive, beside the ablation's outcome

Read = Callable[[], bytes]
Kind = TypeVar("Kind", "NearDuplicateCount", "Ablation")


@dataclass(frozen=True)
class Evidence:
    """Each kind in the order of its names; the same for the same content, wherever it was found."""

    near_duplicates: tuple[NearDuplicateCount, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    pretraining: tuple[Pretraining, ...] = ()
    preflights: tuple[Preflight, ...] = ()
    ledgers: tuple[FoundLedger, ...] = ()

    def near_duplicates_of(self, benchmark: str) -> list[NearDuplicateCount]:
        """Those of the test images of a benchmark."""
        known = BENCHMARKS.get(benchmark)
        return [each for each in self.near_duplicates if known and each.data_set == known.dataset.name]

    def pretraining_facts(self, weights_sha256: str) -> dict[str, Any]:
        """``epochs`` and ``multi_crop`` of the run that exported these weights, as far as they are known here."""
        run = next((run for run in self.pretraining if run.facts.get("backbone_sha256") == weights_sha256), None)
        facts = run.facts if run else {}
        known: dict[str, Any] = {"epochs": facts["epochs"]} if "epochs" in facts else {}
        return known | ({"multi_crop": facts["num_local_crops"] > 0} if "num_local_crops" in facts else {})

    def edited(self) -> list[str]:
        """The ablations whose outcome is no longer what was written, one line each."""
        return [
            f"{each.label}: its content is not that of its content_sha256" for each in self.ablations if each.edited
        ]

    def files(self) -> dict[str, bytes]:
        """Path to content, as archives hold it below the records."""

        def safe(name: str) -> str:
            return "".join(each if each.isalnum() or each in "-_" else "_" for each in name)[:60]

        found: dict[str, bytes] = {}
        for index, counted in enumerate(self.near_duplicates):
            found[f"{COUNTS_FOLDER}/{index}-{safe(counted.data_set)}.json"] = counted.content
        for index, ablation in enumerate(self.ablations):
            folder = f"ablations/{index}-{safe(ablation.label)}"
            found[f"{folder}/{OUTCOME_FILE}"] = ablation.content
            for number, run in enumerate(ablation.courses):
                found[f"{folder}/{COURSES_FOLDER}/{number:03d}/{ARCHIVED_CURVES_FILE}"] = run.to_bytes()
        for index, run in enumerate(self.pretraining):
            found[f"pretraining/{index}-{safe(run.label)}/{ARCHIVED_CURVES_FILE}"] = run.to_bytes()
        for index, preflight in enumerate(self.preflights):
            found[f"preflights/{index}/{PREFLIGHT_FILE}"] = preflight.content
        return found | packed_ledgers(self.ledgers)


def find_evidence(sources: Sequence[Path]) -> Evidence:
    """Everything of these kinds below the folders and in the archives, each once.

    Raises:
        UserError: a file is not what its name says; two files contradict each other.
    """
    files = dict(_files(sources))
    counts: list[NearDuplicateCount] = []
    ablations: dict[str, Ablation] = {}
    preflights: dict[bytes, Preflight] = {}
    for where, read in files.items():
        if _is_count(where):
            from transfer.report.read import near_duplicates

            counts.append(near_duplicates.read(read(), where))
        elif PurePosixPath(where).name == PREFLIGHT_FILE:
            found = read_preflight(read(), where)
            preflights[found.content] = found
        elif PurePosixPath(where).name == OUTCOME_FILE:
            from transfer.report.read import ablation_files

            outcome = ablation_files.read(read(), where)
            ablations[where] = replace(outcome, courses=_courses(outcome, where, files))
    # The runs of an ablation are shown with it, not as runs of their own.
    arms = {_beside(where, run.folder) for where, ablation in ablations.items() for run in ablation.runs}
    packed = {_beside(where, COURSES_FOLDER) for where in ablations}
    runs: list[Pretraining] = []
    for where, read in files.items():
        name, folder = PurePosixPath(where).name, _beside(where, ".")
        if name in CURVES_FILES and folder not in arms and _beside(where, "..") not in packed:
            from transfer.report.read.pretraining import read_archived, read_run

            note = files.get(str(PurePosixPath(where).parent / NOTE_FILE))
            is_packed = name == ARCHIVED_CURVES_FILE
            runs.append(read_archived(read(), where) if is_packed else read_run(read(), note and note(), where))
    return Evidence(
        near_duplicates=_agreeing(counts, lambda each: replace(each, content=b"")),
        ablations=_agreeing(ablations.values(), lambda each: each.content),
        pretraining=_distinct(runs),
        preflights=tuple(sorted(preflights.values(), key=lambda each: (each.device, each.content))),
        ledgers=find_ledgers(files, sources),
    )


def holds_evidence(source: Path) -> bool:
    """Whether there is anything of these kinds below a folder or in an archive."""
    names = (OUTCOME_FILE, *CURVES_FILES)
    return any(_is_count(where) or PurePosixPath(where).name in names for where, _ in _files([source]))


def _files(sources: Sequence[Path]) -> Iterator[tuple[str, Read]]:
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
                    yield str(path), partial(read_bounded, path)


def _courses(outcome: Ablation, where: str, files: dict[str, Read]) -> tuple[Pretraining, ...]:
    """What the runs that have a result logged, from their own folders, or from the archive that the ablation is in."""
    from transfer.report.read.pretraining import read_archived, read_run

    found = []
    for run in (run for run in outcome.runs if run.failure is None):
        path = f"{_beside(where, run.folder)}/{CURVES_FILE}"
        if path in files or Path(path).is_file():  # an ablation's runs may be outside the given folders
            lines = files[path]() if path in files else read_bounded(Path(path))
            found.append(replace(read_run(lines, None, path), label=run.setting))
    archived = [path for path in files if path.startswith(f"{_beside(where, COURSES_FOLDER)}/")]
    return tuple(found or [read_archived(files[path](), path) for path in archived])


def _agreeing(found: Iterable[Kind], content: Callable[[Kind], object]) -> tuple[Kind, ...]:
    kept: dict[tuple[Any, ...], Kind] = {}
    for each in found:
        first = kept.setdefault(each.identity, each)
        if content(first) != content(each):
            names = ", ".join(str(part) for part in each.identity if part)
            raise UserError(f"two files give different results for {names}: report on one of them")
    return tuple(kept[identity] for identity in sorted(kept))


def _distinct(runs: Iterable[Pretraining]) -> tuple[Pretraining, ...]:
    """Each run once; different runs with the same name are numbered."""
    kept: list[Pretraining] = []
    for run in sorted(runs, key=lambda each: (each.label, each.to_bytes())):
        if any((run.facts, run.curves) == (other.facts, other.curves) for other in kept):
            continue
        same_name = sum(other.label.split(" #")[0] == run.label for other in kept)
        kept.append(replace(run, label=f"{run.label} #{same_name + 1}") if same_name else run)
    return tuple(kept)


def _is_count(where: str) -> bool:
    path = PurePosixPath(where)
    return path.suffix == ".json" and path.parent.name == COUNTS_FOLDER


def _beside(where: str, folder: str) -> str:
    """A folder given relative to a file's folder, as a normalised path."""
    return os.path.normpath(PurePosixPath(where).parent / folder)
