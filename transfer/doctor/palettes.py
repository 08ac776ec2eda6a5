"""Masks with palettes that were reordered, as programs do that make files small: then an index is not one class."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.doctor.findings import OTHER_PALETTE, Findings

Palette = tuple[tuple[int, ...], ...]


@dataclass
class Palettes:
    """The masks of a split by their palettes. Threads may add masks at the same time."""

    masks: dict[Palette, list[Path]] = field(default_factory=dict)

    def look_at(self, path: Path, _mask: NDArray[Any]) -> None:
        """Adds a mask, whose file is opened for its palette alone."""
        with Image.open(path) as image:
            values = (image.getpalette() or []) if image.mode == "P" else []
        if values:
            palette = tuple(tuple(values[start : start + 3]) for start in range(0, len(values), 3))
            self.masks.setdefault(palette, []).append(path)

    def report(self, _split: str, findings: Findings) -> None:
        """Notes the first mask of each palette that has a colour at another index than a palette before it."""
        before: list[tuple[Palette, set[int]]] = []
        for palette, paths in self.masks.items() if len(self.masks) > 1 else ():
            used = {index for path in paths for index in _indices(path) if index < len(palette)}
            if any(_moved(palette, used, *other) for other in before):
                findings.add(OTHER_PALETTE, min(paths))
            before.append((palette, used))


def _indices(path: Path) -> list[int]:
    with Image.open(path) as image:
        return [int(index) for index in np.flatnonzero(image.histogram())]


def _moved(palette: Palette, used: set[int], other: Palette, used_there: set[int]) -> bool:
    """Whether a colour that both use is at one index in the one and at another in the other, and nowhere else."""
    here, there = ({each[index]: index for index in places} for each, places in ((palette, used), (other, used_there)))
    return any(
        palette[there[colour] : there[colour] + 1] != (colour,) and other[here[colour] : here[colour] + 1] != (colour,)
        for colour in here.keys() & there.keys()
    )
