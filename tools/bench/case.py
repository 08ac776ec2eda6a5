"""What a hot spot's module tells the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Case:
    """Two ways of doing the same work, each a call without arguments that can be made again and again.

    Attributes:
        name: as typed on the command line, e.g. ``"loss-memory"``.
        what: one sentence: what both do, and at which sizes.
        unit: of the figure of one call. ``"s"`` is its wall time; ``"MiB"`` is the most memory that it took and held
            at one time.
        ours: the product's way.
        textbook: the plain way; in an overhead, the part of the work that cannot be saved.
        target: what the ratio has to reach: in a ``speedup`` textbook / ours, at least the target; in an
            ``overhead`` ours / textbook, at most the target.
        threads: measured with so many threads whatever the command line says, e.g. 1 for a figure per core.
    """

    name: str
    what: str
    unit: Literal["s", "MiB"]
    ours: Callable[[], object]
    textbook: Callable[[], object]
    target: float
    kind: Literal["speedup", "overhead"] = "speedup"
    threads: int | None = None
