"""What is not there yet: data sets and checkpoints."""

from __future__ import annotations

from pathlib import Path

from transfer.benchmarks import Benchmark
from transfer.doctor.datasets import DATASETS, name_of


def missing_data(benchmark: Benchmark, root: Path) -> str | None:
    """Which folder is missing, and what belongs there; None if it is there. The doctor looks closer before trials."""
    name = name_of(benchmark)
    known = DATASETS[name] if name else None
    if root.is_dir() and (
        known is None or any(known.parts is None or path.name in known.parts for path in root.iterdir())
    ):
        return None
    what = "no folder" if not root.is_dir() else "nothing of the data set in"
    guide = "run tools/demo_data.sh" if benchmark.data == "digits" else "give --data DIR or set DATA_ROOT"
    if known and benchmark.data != "digits":
        guide += f"; {known.guide.format(root=root)}"
    return f"{what} {root}: {guide}"


def missing_checkpoint(source: str) -> str | None:
    """Says that a checkpoint's file is missing; None if it is there."""
    path = Path(source)
    if path.is_file():
        return None
    return f"checkpoint {path} {'is a folder, not a file' if path.is_dir() else 'does not exist'}"
