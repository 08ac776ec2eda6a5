"""Masks that number the objects of each image, as VOC's SegmentationObject, in the place of masks of classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.doctor.findings import INSTANCES, Findings

FEWEST_MASKS, FEWEST_NUMBERS = 12, 4  # from which on it is not chance that no mask leaves out an id


@dataclass
class Instances:
    """How many ids the masks of a split have. Threads may add masks at the same time."""

    numbers: list[int] = field(default_factory=list)
    with_gaps: list[Path] = field(default_factory=list)

    def look_at(self, path: Path, mask: NDArray[Any]) -> None:
        """Adds a mask, (H, W) class indices below 256, of which 0 and 255 are no objects."""
        ids = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[:255])
        ids = ids[ids > 0]
        if len(ids) and ids[-1] != len(ids):
            self.with_gaps.append(path)
        elif len(ids):
            self.numbers.append(len(ids))

    def report(self, split: str, findings: Findings) -> None:
        """Notes the split if all of its masks have the ids from 1 on, to different last ones."""
        if not self.with_gaps and len(self.numbers) >= FEWEST_MASKS and len({*self.numbers}) >= FEWEST_NUMBERS:
            findings.add(
                INSTANCES, f"{split}, each of which has the ids from 1 on without a gap, up to {max(self.numbers)}"
            )
