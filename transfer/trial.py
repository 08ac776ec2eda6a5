"""One trial: one process, one seed, one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer.reading import NOTHING_SAID, Reading
from transfer.record import TrialResult
from transfer.rows import Benchmark

RANDOM_PREFIX = "random:"


@dataclass(frozen=True, kw_only=True)
class WeightsRef:
    """Names the initialisation, without opening it.

    Attributes:
        name: what reports call it, e.g. ``"twist"`` or ``"random-resnet18"``.
        source: path of a checkpoint, or ``"random:<arch>"`` for a fresh initialisation drawn from the trial's seed.
        sha256: of the checkpoint's bytes; for a random initialisation, of the text ``source``.
        which: student or teacher, where the checkpoint has both.
        arch: given only where it cannot be inferred.
        reading: what the user says of the checkpoint because it does not say it itself.
    """

    name: str
    source: str
    sha256: str
    which: str = "student"
    arch: str | None = None
    reading: Reading = NOTHING_SAID

    @property
    def taken(self) -> str:
        """The network that is taken, and what is said of it: for the fingerprints of unfinished work."""
        return " ".join([self.which, *self.reading.key])

    @property
    def is_random(self) -> bool:
        return self.source.startswith(RANDOM_PREFIX)

    @property
    def folder(self) -> str:
        """Name of the folders that belong to these weights."""
        return f"{self.name}-{self.sha256[:8]}"


def silent(done: int, total: int, what: str) -> None:
    """Reports no progress; unlike a trial's own callable, it can be sent to another process."""


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What a trial was asked to do: shared by its plan (:class:`transfer.trials.plan.TrialPlan`) and its task.

    Attributes:
        data: root of the data set in its true on-disk layout; exists.
        overrides: ``"KEY=value"`` in the framework's own names; each makes the trial differ from the protocol.
        device: ``"cpu"`` or ``"cuda"``.
        rescale: images per step in place of the protocol's, with the schedule that goes with it
            (:func:`transfer.protocol_lock.rescaled`); None keeps the protocol's.
        labels: a file with the names of the labelled training images; None where the protocol draws them.
    """

    benchmark: Benchmark
    weights: WeightsRef
    seed: int
    data: Path
    overrides: tuple[str, ...]
    device: str
    rescale: int | None = None
    labels: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Trial(TrialSettings):
    """What a task's ``run`` is given.

    Attributes:
        work_dir: exists; for TensorBoard, logs and checkpoints. A task may resume from whatever a killed run left
            there, as long as the metrics come out the same.
        weights_dir: exists; converted weights shared by trials, see :mod:`transfer.weights.convert.convert`.
        progress: to be called with (steps done, steps in all, what is being done).
    """

    work_dir: Path
    weights_dir: Path
    progress: Callable[[int, int, str], None] = silent


@dataclass(frozen=True, kw_only=True)
class Outcome(TrialResult):
    """What a task's ``run`` returns; all but the facts about the weights goes into the record as it is.

    Attributes:
        arch, source_format, proof: of the weights that were loaded (:class:`transfer.record.WeightsInfo`).
        outcomes: of each test image (:func:`transfer.outcomes.file.packed`); empty where a task keeps none.
    """

    pictures: list[Path] = field(default_factory=list)
    arch: str
    source_format: str
    proof: dict[str, Any] | None = None
    outcomes: bytes = b""
