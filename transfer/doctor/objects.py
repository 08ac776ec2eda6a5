"""What only many objects show: they are there twice, or their boxes are in another unit or of smaller images."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from transfer.doctor.findings import BROKEN_BOX, REPEATED, Findings

FRACTIONS = "in fractions of the image's size, not pixels"
MANY_REPEATED, MANY_FRACTIONS = 0.1, 0.5  # of a file's objects: single ones are in published data too
FEWEST = 20  # objects from which on it is not chance where they are
CORNER = 0.55  # of an image's sides
LARGE = 200  # px; in smaller images percentages and pixels are alike


@dataclass
class Objects:
    """The objects of a file or a list. Threads may add some at the same time."""

    seen: list[Hashable] = field(default_factory=list)
    edges: list[tuple[float, float, float, float]] = field(default_factory=list)

    def add(self, image: Hashable, name: Hashable, box: Sequence[float], width: int, height: int) -> None:
        """Adds an object with the box ``x0, y0, x1, y1`` in pixels from 0."""
        self.seen.append((image, name, *box))
        self.edges.append((box[2], box[3], width, height))

    def report(self, where: str, findings: Findings) -> None:
        """Notes what is wrong with most or many of them."""
        if (number := len(self.seen) - len(set(self.seen))) > MANY_REPEATED * len(self.seen):
            findings.add(REPEATED, f"{number:,} objects with the class and box of another in {where}")
        rights, bottoms = (max((edge[side] for edge in self.edges), default=0) for side in (0, 1))
        inside_first = sum(max(x, y) <= 1 for x, y, _, _ in self.edges)
        if self.edges and inside_first > MANY_FRACTIONS * len(self.edges):
            share = "all" if inside_first == len(self.edges) else f"{inside_first:,}"
            findings.add(BROKEN_BOX, f"{share} of {where} ({FRACTIONS})")
        elif len(self.edges) < FEWEST:
            return
        elif (
            90 < min(rights, bottoms) <= max(rights, bottoms) <= 100.5
            and min(width for _, _, width, _ in self.edges) > LARGE < min(height for *_, height in self.edges)
            and any(x % 1 or y % 1 for x, y, _, _ in self.edges)
        ):
            findings.add(BROKEN_BOX, f"all of {where} (in percent of the image's size, not pixels)")
        elif all(x <= CORNER * width and y <= CORNER * height for x, y, width, height in self.edges):
            findings.note("boxes that are all in the upper left of their images, as boxes of smaller images are", where)
