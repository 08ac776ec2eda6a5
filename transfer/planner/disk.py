"""How much disk space trials take: as much as recorded ones did, else as much as their task can foresee."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.planner.history import PastTrial
from transfer.record import RECORD_NAME
from transfer.rows import Benchmark
from transfer.weights.backbone.architecture import num_elements
from transfer.work import Work

CHECKPOINTS, PICTURES, RECORDS, REST = "checkpoints", "pictures", "records", "logs and the rest"
PROOF_SUFFIX = ".proof.json"  # beside each weight file


@dataclass(frozen=True, kw_only=True)
class DiskItem:
    """A kind of files; ``num_bytes`` is None where nobody knows."""

    what: str
    num_bytes: int | None
    source: str


def of_trials(
    benchmark: Benchmark, work: Work, past_trials: Sequence[PastTrial], num_trials: int, num_initialisations: int
) -> tuple[DiskItem, ...]:
    """What ``num_trials`` trials of a benchmark will write: in their folders, and once for each initialisation."""
    items = [
        DiskItem(what=what, num_bytes=num_initialisations * size, source="the protocol and its images")
        for what, size in work.shared_disk.items()
    ]
    folders = [
        folder_bytes(past.folder)
        for past in past_trials
        if (past.record.benchmark, past.record.protocol_version) == (benchmark.name, benchmark.protocol_version)
    ]
    if folders:
        source = f"median of {len(folders)} recorded trials" if len(folders) > 1 else "1 recorded trial"
        for what in sorted({what for sizes in folders for what in sizes}):
            median = statistics.median(sizes.get(what, 0) for sizes in folders)
            items.append(DiskItem(what=what, num_bytes=round(num_trials * median), source=source))
    else:
        for what, size in work.disk.items():
            items.append(DiskItem(what=what, num_bytes=num_trials * size, source="the protocol and its model"))
        items.append(DiskItem(what="pictures, records and logs", num_bytes=None, source="no recorded trial"))
    return tuple(items)


def folder_bytes(folder: Path) -> dict[str, int]:
    """Bytes of a trial's folder by kind of file."""
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.name == RECORD_NAME:
            kind = RECORDS
        elif path.suffix in (".pth", ".pt"):
            kind = CHECKPOINTS
        else:
            kind = PICTURES if "pictures" in path.relative_to(folder).parts else REST
        sizes[kind] += path.stat().st_size
    return dict(sizes)


def of_weights(target: str, arch: str | None, weights_dir: Path, num_files: int) -> DiskItem:
    """Converted weights that do not exist yet.

    Args:
        target: the framework that the task has its weights converted for.
        weights_dir: where the initialisation's converted weights are kept.
        num_files: one for a checkpoint; one per seed for a random initialisation.
    """
    folder = weights_dir / target
    files = [path for path in folder.iterdir() if not path.name.endswith(PROOF_SUFFIX)] if folder.is_dir() else []
    missing = max(num_files - len(files), 0)
    what = f"converted weights for {target}"
    if not missing:
        return DiskItem(what=what, num_bytes=0, source=f"{len(files)} converted already")
    if arch is None:
        return DiskItem(what=what, num_bytes=None, source="the architecture is not known")
    num_floats = num_elements(arch)
    source = f"{missing} x 4 bytes x {num_floats / 1e6:.1f} M parameters and batch statistics"
    return DiskItem(what=what, num_bytes=missing * 4 * num_floats, source=source)
