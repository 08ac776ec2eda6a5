"""Counts the test images of a user's own data that are among the training images too, which no list rules out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from transfer.doctor.near_duplicates.find import DEFAULT_THRESHOLD, find_near_duplicates
from transfer.doctor.near_duplicates.held_out import paths_of
from transfer.doctor.stamp import remembered_as
from transfer.record import Repeats
from transfer.rows import DatasetRow, DenseDataset
from twist_common.progress import Progress

MAX_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class FoundRepeats:
    """How many there are, and the first, each as ``"test image - training image"``."""

    counts: Repeats
    examples: list[str]

    def lines(self) -> list[str]:
        """What is printed of them."""
        return [str(self.counts), *(f"  {example}" for example in self.examples)]


def find_repeats(row: DatasetRow, root: Path, progress: Progress) -> FoundRepeats | None:
    """The test images among the training images; None where the training images are not files.

    Args:
        row: of own data as :func:`transfer.doctor.own_data.completed` returns it; data of the same content are not
            compared again.

    Raises:
        UserError: images are missing or cannot be read.
    """
    if not isinstance(row, DenseDataset) and not (root / "train").is_dir():
        return None

    def compare() -> str:
        folder, only = root / "train", None
        if isinstance(row, DenseDataset):
            folder, only = root, paths_of(row, root, "train")
        found, _ = find_near_duplicates(row, root, folder, DEFAULT_THRESHOLD, progress, only=only)
        counts = Repeats(test_images=found.test_images, near_duplicates=found.near_duplicates, exact=found.exact)
        examples = [f"{test} - {train}" for test, train, _ in found.examples[:MAX_EXAMPLES]]
        return json.dumps(asdict(FoundRepeats(counts=counts, examples=examples)))

    kept = json.loads(remembered_as("repeats", row.content, compare))
    return FoundRepeats(counts=Repeats(**kept["counts"]), examples=kept["examples"])
