"""The cases by name, the command line's options, and what a case is. Imports neither torch nor a framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

CASES = {
    "augmentation": "tools.bench.augmentation:augmentation_cases",
    "loss": "tools.bench.training:loss_cases",
    "lars": "tools.bench.training:lars_cases",
    "step": "tools.bench.training:step_cases",
    "coco-metrics": "tools.bench.coco_metrics:coco_metrics_cases",
    "matching": "tools.bench.matching:matching_cases",
    "linear": "tools.bench.linear:linear_cases",
}


@dataclass(frozen=True)
class Args:
    """Measures hot spots against textbook implementations that were written for clarity, or against other libraries.

    Both ways of a case run in turn in this one process, so the ratio means something on a busy machine too. It is the
    ratio of the medians; in brackets the first and third quartile of the ratios of neighbouring calls. "speedup" is
    textbook / ours, "overhead" is ours / the part of the work that cannot be saved.

    example: tools/bench.sh loss lars --threads 1 --repeats 15 --json bench.json
    """

    cases: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="CASE ...", help=f"Some of {', '.join(CASES)}; none means all."),
    ] = ()
    threads: int | None = None
    """Threads of both ways; default as many as there are cores for this process, 1 for linear."""
    repeats: int = 7
    """Measurements of each way, apart from ways that take minutes: those run once."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where loss, lars and step are measured; all others are always on the CPU."""
    #: How many images. coco-metrics: for boxes, masks take a quarter (200); matching (50,000); linear: for the path,
    #: probing takes a fifth (1,000).
    images: int | None = None
    classes: int = 1000
    """matching: how many classes, and as many clusters."""
    weights: str = "random:resnet18"
    """linear: the features of the path, a checkpoint or random:ARCH."""
    probing_arch: str = "resnet50"
    """linear: the backbone of the probing."""
    data: Path | None = None
    """linear: the embedded data; default $DATA_ROOT/digits."""
    json: Path | None = None
    """A file for every single figure and what the machine is."""
    list: bool = False
    """Say what would be measured, and the targets; measure nothing."""
    check: bool = False
    """End with code 1 if a target is missed."""


@dataclass(frozen=True)
class Case:
    """Two ways of doing the same work, each a call without arguments that can be made again and again.

    Attributes:
        name: as it is printed, e.g. ``"loss-memory"``.
        what: one sentence: what both do, and at which sizes.
        unit: of the figure of one call. ``"s"`` is its wall time; ``"MiB"`` is the most memory that it took and held
            at one time.
        ours: the product's way.
        textbook: the plain way; in an overhead, the part of the work that cannot be saved.
        target: what the ratio has to reach: in a ``speedup`` textbook / ours, at least the target; in an
            ``overhead`` ours / textbook, at most the target.
        threads: measured with this many threads whatever the command line says, e.g. 1 for a figure per core.
        slow: the textbook, or both ways, take minutes: they run once, without a first call that does not count.
        textbook_factor: what the textbook's figure is multiplied by, e.g. 100 if a call is one of 100 equal epochs.
        note: called after the measurements; holds the results of both ways against each other and says more.
    """

    name: str
    what: str
    unit: Literal["s", "MiB"]
    ours: Callable[[], object]
    textbook: Callable[[], object]
    target: float
    kind: Literal["speedup", "overhead"] = "speedup"
    threads: int | None = None
    slow: Literal["textbook", "both"] | None = None
    textbook_factor: float = 1.0
    note: Callable[[], str] | None = None

    @property
    def bound(self) -> str:
        return f"{'at least' if self.kind == 'speedup' else 'at most'} {self.target:g}"
