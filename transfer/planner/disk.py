"""How much disk trials take, from folders of recorded ones where there are any, else from what a task can tell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.planner.history import Past
from transfer.record import RECORD_NAME
from transfer.rows import Benchmark
from transfer.tasks.costs import NUM_PARAMETERS
from transfer.work import Work

CHECKPOINTS, PICTURES, RECORDS, REST = "checkpoints", "pictures", "records", "logs and the rest"
PROOF_SUFFIX = ".proof.json"  # beside each weight file
CONVERTED = "converted weights"


@dataclass(frozen=True, kw_only=True)
class Item:
    """A kind of files; ``num_bytes`` is None where nobody knows."""

    what: str
    num_bytes: int | None
    source: str


def of_trials(
    benchmark: Benchmark, work: Work, pasts: Sequence[Past], num_trials: int, *, num_initialisations: int = 1
) -> list[Item]:
    """What ``num_trials`` trials of a benchmark will leave: in their folders, and once for each initialisation."""
    shared = [
        Item(what=what, num_bytes=num_initialisations * size, source="the protocol and its images")
        for what, size in work.shared_disk.items()
    ]
    return [*shared, *_of_folders(benchmark, work, pasts, num_trials)]


def _of_folders(benchmark: Benchmark, work: Work, pasts: Sequence[Past], num_trials: int) -> list[Item]:
    same = [
        folder_bytes(past.folder)
        for past in pasts
        if past.record.benchmark == benchmark.name and past.record.protocol_version == benchmark.protocol_version
    ]
    if same:
        source = f"median of {len(same)} recorded trials" if len(same) > 1 else "1 recorded trial"
        kinds = sorted({what for sizes in same for what in sizes})
        return [
            Item(
                what=what,
                num_bytes=round(num_trials * statistics.median(sizes.get(what, 0) for sizes in same)),
                source=source,
            )
            for what in kinds
        ]
    items = [
        Item(what=what, num_bytes=num_trials * size, source="the protocol and its model")
        for what, size in work.disk.items()
    ]
    return [*items, Item(what="pictures, records and logs", num_bytes=None, source="no recorded trial")]


def folder_bytes(folder: Path) -> dict[str, int]:
    """Bytes of a trial's folder by kind of file."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            kind = _kind(path.relative_to(folder))
            sizes[kind] = sizes.get(kind, 0) + path.stat().st_size
    return sizes


def _kind(path: Path) -> str:
    if path.name == RECORD_NAME:
        return RECORDS
    if path.suffix in (".pth", ".pt"):
        return CHECKPOINTS
    return PICTURES if "pictures" in path.parts else REST


def of_weights(target: str | None, arch: str | None, weights_dir: Path | None, num_files: int) -> Item | None:
    """Converted weights that are not there yet; None if the task converts none.

    Args:
        target: framework that the task has its weights converted for.
        weights_dir: where the initialisation's are kept; None if that is not known.
        num_files: one a checkpoint; one a seed of a random initialisation.
    """
    if target is None or not num_files:
        return None
    files = list((weights_dir / target).iterdir()) if weights_dir and (weights_dir / target).is_dir() else []
    there = [path for path in files if not path.name.endswith(PROOF_SUFFIX)]
    missing = max(num_files - len(there), 0)
    num_parameters = NUM_PARAMETERS.get(arch or "")
    what = f"{CONVERTED} for {target}"
    if not missing:
        return Item(what=what, num_bytes=0, source=f"{len(there)} there")
    if num_parameters is None:
        return Item(what=what, num_bytes=None, source="the architecture is not known")
    source = f"{missing} x 4 bytes x {num_parameters / 1e6:.1f} M parameters"
    return Item(what=what, num_bytes=missing * 4 * num_parameters, source=source)
