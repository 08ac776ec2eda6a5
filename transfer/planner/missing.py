"""What is not there yet: data sets and checkpoints."""

from __future__ import annotations

from pathlib import Path

from transfer.rows import DatasetRow


def missing_data(row: DatasetRow, root: Path) -> str | None:
    """Which folder is missing, and what belongs there; None if it is there. The doctor looks closer before trials."""
    if root.is_dir() and (row.parts is None or any(path.name in row.parts for path in root.iterdir())):
        return None
    what = "no folder" if not root.is_dir() else "nothing of the data set in"
    if row.embedded:
        return f"{what} {root}: run tools/demo_data.sh"
    return f"{what} {root}: give --data DIR or set DATA_ROOT; {row.title}: {row.guide.format(root=root)}"


def missing_checkpoint(source: str) -> str | None:
    """Says that a checkpoint's file is missing; None if it is there."""
    path = Path(source)
    if path.is_file():
        return None
    return f"checkpoint {path} {'is a folder, not a file' if path.is_dir() else 'does not exist'}"
