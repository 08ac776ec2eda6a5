"""One trial: one process, one seed, one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer.record import Metric
from transfer.rows import Benchmark

RANDOM_PREFIX = "random:"


@dataclass(frozen=True, kw_only=True)
class WeightsRef:
    """Names the initialisation, without opening it.

    Attributes:
        name: what reports call it, e.g. ``"twist"`` or ``"random-resnet18"``.
        source: path of a checkpoint, or ``"random:<arch>"`` for a fresh initialisation drawn from the trial's seed.
        sha256: of the checkpoint's bytes, or of the text ``source`` for a random one.
        which: student or teacher, where the checkpoint has both.
    """

    name: str
    source: str
    sha256: str
    which: str = "student"
    arch: str | None = None  # only where it cannot be inferred

    @property
    def is_random(self) -> bool:
        return self.source.startswith(RANDOM_PREFIX)


def silent(done: int, total: int, what: str) -> None:
    """In place of a trial's progress; unlike most of these, it can be sent to another process."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a task's ``run`` is given.

    Attributes:
        data: root of the data set's true on-disk layout; exists.
        overrides: ``"KEY=value"`` in the framework's own names; each makes the trial differ from the protocol.
        device: ``"cpu"`` or ``"cuda"``.
        work_dir: exists; for TensorBoard, logs and checkpoints. Whatever is there from a killed run may be used to
            go on, as long as the metrics come out the same.
        weights_dir: exists; converted weights shared by trials (see :mod:`transfer.weights.of_trial`).
        progress: call with (steps done, steps in all, what is being done).
        rescale: images a step in place of the protocol's, with the schedule that goes with it
            (:func:`transfer.protocol_lock.rescaled`); None keeps the protocol's.
        labels: a file with the names of the labelled training images; None where the protocol draws them.
    """

    benchmark: Benchmark
    weights: WeightsRef
    seed: int
    data: Path
    overrides: tuple[str, ...]
    device: str
    work_dir: Path
    weights_dir: Path
    progress: Callable[[int, int, str], None] = silent
    rescale: int | None = None
    labels: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a task's ``run`` gives back; it goes into the record.

    Attributes:
        metrics: name to :class:`~transfer.record.Metric`, in percent.
        references, test_scorings, inflated, choices: see :class:`~transfer.record.TrialRecord`.
        pictures: predictions beside ground truth, files below ``work_dir``.
        resolved_config: the framework's config as text, every default filled in; without paths of this machine's
            scratch folders, so that equal protocols have equal text.
        protocol_difference: see :class:`~transfer.record.TrialRecord`.
        standing, batch: see :class:`~transfer.record.TrialRecord`.
        arch, source_format, proof: of the weights that were loaded.
    """

    metrics: dict[str, Metric]
    resolved_config: str
    arch: str
    source_format: str
    proof: dict | None = None
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    test_scorings: list[dict[str, Any]] = field(default_factory=list)
    inflated: dict[str, float] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    protocol_difference: list[str] = field(default_factory=list)
    standing: str = ""
    batch: str = ""
