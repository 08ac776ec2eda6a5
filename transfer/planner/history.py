"""Recorded trials that a plan can learn from."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transfer.benchmarks import BENCHMARKS
from transfer.planner.devices import recorded_device
from transfer.record import RECORD_NAME, TrialRecord
from transfer.task import task_of
from transfer.work import Work
from twist_common.errors import UserError


@dataclass(frozen=True)
class PastTrial:
    """A trial that is done, with the folder of its record."""

    record: TrialRecord
    folder: Path

    @property
    def device_name(self) -> str:
        return recorded_device(self.record)[0]

    @property
    def device_seconds(self) -> float:
        """Wall-clock seconds times devices."""
        return self.record.wall_seconds * recorded_device(self.record)[1]

    @functools.cached_property
    def work(self) -> Work | None:
        """What it computed; None if the benchmark is unknown or its settings can no longer be read."""
        benchmark = BENCHMARKS.get(self.record.benchmark)
        if benchmark is None or benchmark.protocol_version != self.record.protocol_version:
            return None
        try:
            return task_of(benchmark).recorded_work(self.record, benchmark)
        except (KeyError, TypeError, ValueError, UserError):
            return None


def gather(roots: Iterable[Path]) -> list[PastTrial]:
    """The done trials below some folders, each once; records that cannot be read are left for reports to name."""
    found: dict[str, PastTrial] = {}
    for root in roots:
        for path in sorted(root.rglob(RECORD_NAME)):
            try:
                record = TrialRecord.load(path)
            except (UserError, OSError):
                continue
            if record.status == "done" and record.wall_seconds > 0:
                found[record.to_text()] = PastTrial(record, path.parent)
    return list(found.values())
