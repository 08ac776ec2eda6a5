"""Masks with smoothed edges: resized with interpolation, or kept as a JPEG, so that borders have ids of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.doctor.findings import SMOOTHED, Findings

# What sound and smoothed masks have of each: docs/log.md, 2026-11-27. Borders that are one or two classes are sound.
BLENDS = 0.15  # pixels between their neighbours' ids, for each change of ids
FEWEST_BLENDS, FEWEST_IDS = 12, 3
SHARE = 0.02  # of a split's masks, from which on it is not chance
AREA = 0.01  # squares of 2 x 2 pixels for each pixel of an id, from which on it has an area
MANY_IDS, SOME_BLENDS = 10, 0.04  # what a JPEG leaves beside edges is not always between: ids without an area anywhere


@dataclass
class Edges:
    """What is at the edges of a split's masks. Threads may add masks at the same time."""

    smoothed: list[Path] = field(default_factory=list)
    blends: list[tuple[int, int]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    with_area: set[int] = field(default_factory=set)

    def look_at(self, path: Path, mask: NDArray[Any]) -> None:
        """Adds a mask, (H, W) class indices below 256."""
        ids = mask.astype(np.uint8, copy=False)
        right, down = ids[:, 1:] == ids[:, :-1], ids[1:] == ids[:-1]
        squares = np.bincount(ids[:-1, :-1][right[:-1] & right[1:] & down[:, :-1]], minlength=256)
        total = np.bincount(ids.ravel(), minlength=256)
        self.seen.update(np.flatnonzero(total).tolist())
        self.with_area.update(np.flatnonzero((total > 0) & (squares > AREA * total)).tolist())
        blended = np.concatenate(
            [_blended(ids[:, :-2], ids[:, 1:-1], ids[:, 2:]), _blended(ids[:-2], ids[1:-1], ids[2:])]
        )
        changes = int(right.size + down.size - right.sum() - down.sum())
        self.blends.append((len(blended), changes))
        if len(blended) >= max(FEWEST_BLENDS, BLENDS * changes) and len(np.unique(blended)) >= FEWEST_IDS:
            self.smoothed.append(path)

    def report(self, split: str, findings: Findings) -> None:
        """Notes the masks that were smoothed, if they are more than chance brings, or that most ids have no area."""
        only_edges = self.seen - self.with_area
        blended, changes = map(sum, zip((0, 1), *self.blends, strict=True))
        if len(self.smoothed) > SHARE * len(self.blends):
            for path in self.smoothed:
                findings.add(SMOOTHED, path)
        elif len(only_edges) >= max(MANY_IDS, len(self.seen) / 2) and blended >= SOME_BLENDS * changes:
            findings.add(SMOOTHED, f"{split}, {len(only_edges)} of whose {len(self.seen)} ids are at edges alone")


def _blended(before: NDArray[np.uint8], here: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The ids that are between those before and after them."""
    found: NDArray[np.uint8] = here[((before < here) & (here < after)) | ((before > here) & (here > after))]
    return found
