"""Wall time and memory of calls, and the two ways of a case measured in turn."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import threadpoolctl
import torch

from tools.bench.case import Case

MIB = 1 << 20


@dataclass(frozen=True)
class Comparison:
    """Both ways of a case, measured in turn.

    Attributes:
        ours, textbook: one figure per measurement, in the case's unit; a slow textbook has one.
    """

    case: Case
    threads: int
    ours: tuple[float, ...]
    textbook: tuple[float, ...]

    @property
    def medians(self) -> tuple[float, float]:
        """Ours and the textbook's."""
        return statistics.median(self.ours), statistics.median(self.textbook)

    @property
    def ratio(self) -> float:
        """Ratio of the medians, the way round that the case's kind has it."""
        return self._ratio(*self.medians)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile of the ratios of neighbouring measurements; of one pair, its ratio twice."""
        ratios = [self._ratio(*pair) for pair in zip(self.ours, itertools.cycle(self.textbook))]
        if len(ratios) == 1:
            return ratios[0], ratios[0]
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return low, high

    @property
    def is_reached(self) -> bool:
        """Whether the ratio of the medians is at the target or beyond."""
        return self.ratio >= self.case.target if self.case.kind == "speedup" else self.ratio <= self.case.target

    def _ratio(self, ours: float, textbook: float) -> float:
        return textbook / ours if self.case.kind == "speedup" else ours / textbook

    def as_dict(self) -> dict[str, Any]:
        """Plain values: what was measured, every figure, the ratio with its spread, and the target."""
        case = self.case
        return {
            **{name: getattr(case, name) for name in ("name", "what", "unit", "kind")},
            "threads": self.threads,
            "ours": self.ours,
            "textbook": self.textbook,
            "ratio": self.ratio,
            "ratio_quartiles": self.spread,
            "target": case.target,
            "is_reached": self.is_reached,
        }


def compare(case: Case, *, repeats: int, threads: int, device: torch.device) -> Comparison:
    """Measures both ways in turn (ours, textbook, ours, ...), after one call of each that does not count.

    Whatever else the machine does slows down both ways alike, as far as it lasts longer than a call.
    """
    threads = case.threads or threads
    measure, ours, textbook = MEASURES[case.unit], [], []
    with threadpoolctl.threadpool_limits(threads):
        torch.set_num_threads(threads)
        if case.slow != "both":
            case.ours()
        if case.slow is None:
            case.textbook()
        for repeat in range(1 if case.slow == "both" else repeats):
            ours.append(measure(case.ours, device))
            if repeat == 0 or case.slow is None:
                textbook.append(measure(case.textbook, device) * case.textbook_factor)
    return Comparison(case, threads, tuple(ours), tuple(textbook))


def wall_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, until the device has done its part."""
    gc.collect()
    _wait_for(device)
    start = time.perf_counter()
    call()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_mib(call: Callable[[], object], device: torch.device) -> float:
    """The most that one call held at one time of the memory that it took through torch, in MiB.

    On the CPU it is the running sum of every allocation and release that torch's allocator reports to the profiler;
    scratch memory that a library takes for itself is not in it. On CUDA it is the caching allocator's own peak, beyond
    what was there before.
    """
    gc.collect()
    if device.type == "cuda":
        _wait_for(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        _wait_for(device)
        return (torch.cuda.max_memory_allocated(device) - before) / MIB
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _quiet_stderr(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    blocks: dict[int, int] = {}
    level = highest = 0
    for event in sorted((event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"]):
        address, size = event["args"]["Addr"], event["args"]["Bytes"]
        if size > 0:
            blocks[address] = size
            level += size
            highest = max(highest, level)
        else:  # a block from before the call is not the call's to count
            level -= blocks.pop(address, 0)
    return highest / MIB


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silences the profiler's library, which writes a line on each start and stop, past Python and any log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


MEASURES: dict[str, Callable[[Callable[[], object], torch.device], float]] = {"s": wall_seconds, "MiB": peak_mib}
