"""Counts the test images of a user's own data that are among the training images too, which no list rules out."""

from __future__ import annotations

from pathlib import Path

from transfer.doctor.near_duplicates.find import DEFAULT_THRESHOLD, find_near_duplicates
from transfer.doctor.near_duplicates.held_out import paths_of
from transfer.doctor.stamp import remembered_as
from transfer.rows import DatasetRow, DenseDataset
from twist_common.progress import Progress

MAX_EXAMPLES = 5


def repeated_lines(row: DatasetRow, root: Path, progress: Progress) -> list[str]:
    """How many there are, and the first; nothing where the training images are not files.

    Args:
        row: of own data as :func:`transfer.doctor.own_data.completed` returns it; data of the same content are not
            compared again.

    Raises:
        UserError: images are missing or cannot be read.
    """
    if not isinstance(row, DenseDataset) and not (root / "train").is_dir():
        return []

    def compare() -> str:
        folder, only = root / "train", None
        if isinstance(row, DenseDataset):
            folder, only = root, paths_of(row, root, "train")
        found, _ = find_near_duplicates(row, root, folder, DEFAULT_THRESHOLD, progress, only=only)
        first = [f"  {test} - {train}" for test, train, _ in found.examples[:MAX_EXAMPLES]]
        count = (
            f"{found.near_duplicates:,} of {found.test_images:,} test images have a near-duplicate among the training "
            f"images ({found.exact:,} the same bytes)"
        )
        return "\n".join([count, *first])

    return remembered_as("repeated", row.content, compare).splitlines()
