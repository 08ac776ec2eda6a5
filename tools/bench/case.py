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
    """Compares hot spots with textbook implementations that were written for clarity, or with other libraries.

    The two implementations of a case run alternately in this one process, so their ratio is meaningful even on a busy
    machine. It is the ratio of the medians; in brackets are the first and third quartile of the ratios of successive
    calls. "speedup" is textbook / ours, "overhead" is ours / the part of the work that cannot be avoided.

    example: tools/bench.sh loss lars --threads 1 --repeats 15 --json bench.json
    """

    cases: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="CASE ...", help=f"Some of {', '.join(CASES)}; none means all."),
    ] = ()
    threads: int | None = None
    """Threads for both implementations; default: the number of cores of this process, 1 for linear."""
    repeats: int = 7
    """Measurements of each implementation; those that take minutes run only once."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where loss, lars and step are measured; all others always run on the CPU."""
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
    """A file for all individual measurements and a description of the machine."""
    list: bool = False
    """List the cases and their targets without measuring."""
    check: bool = False
    """Exit with code 1 if a target is missed."""


@dataclass(frozen=True)
class Case:
    """Two implementations of the same work, each a repeatable call without arguments.

    Attributes:
        name: as it is printed, e.g. ``"loss-memory"``.
        what: one sentence that says what both do, and at which sizes.
        unit: of a measurement: ``"s"`` is the wall time of a call, ``"MiB"`` its peak memory.
        ours: our implementation.
        textbook: the plain implementation; for an overhead, the part of the work that cannot be avoided.
        target: for the ratio: at least this for a ``speedup`` (textbook / ours), at most this for an ``overhead``
            (ours / textbook).
        threads: the number of threads, whatever the command line says, e.g. 1 for a measurement per core.
        slow: the textbook or both implementations take minutes and run once, without warm-up.
        textbook_factor: factor for the textbook's measurement, e.g. 100 if a call is one of 100 equal epochs.
        note: called after the measurements; compares the results of both and returns a remark.
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
