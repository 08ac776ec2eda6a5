"""What a kind of trial is: the one object that runners, plans, preflight and reports ask about it."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.rows import Benchmark
from transfer.trial import Outcome, Trial, TrialSettings
from transfer.work import ModelCost, Work
from twist_common.errors import UserError

if TYPE_CHECKING:
    from transfer.protocol_lock import BatchSchedule, Verdict
    from transfer.record import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """How a trial will relate to its protocol, with the protocol's schedule and its own."""

    verdict: Verdict
    protocol: BatchSchedule
    used: BatchSchedule


class Task(ABC):
    """A kind of trial; the package of each task has one instance, ``TASK``. Creating it imports no framework.

    Attributes:
        preload: module that imports everything a trial needs, so that trials can be forked from a process that has it.
        metrics: what its trials measure, for the README.
        picture_sides: what its pictures show, for reports.
        target: framework that weights are converted for, e.g. ``"mmseg"``; None: they are used as they are.
        uses_all_gpus: whether a trial has all GPUs, over which its batch and batch norm are spread, or one.
    """

    preload: str
    metrics: str
    picture_sides: str
    target: str | None = None
    uses_all_gpus: bool = False
    precision: str = "fp32"
    precision_key: str = "precision"

    @abstractmethod
    def run(self, trial: Trial) -> Outcome:
        """Runs a trial. Everything random comes from its seed; metrics are in percent.

        Raises:
            UserError: bad input; then no record is written.
        """

    @abstractmethod
    def check_settings(self, trial: Trial) -> None:
        """Raises UserError for an override that the protocol does not know, or a batch that it cannot take.

        May import the framework; needs neither data nor weights.
        """

    @abstractmethod
    def check_weights(self, trial: Trial) -> None:
        """Reads the trial's weights, converts them where the trial will look, and compares them with the protocol.

        Raises:
            UserError: they are damaged, unknown or ambiguous, have no proven conversion, or do not fit.
        """

    def target_of(self, benchmark: Benchmark) -> str | None:
        """What weights are converted for: the framework, or what it needs for protocols that take any network."""
        of_any = f"{self.target}-any" if self.target and benchmark.arch is None else self.target
        return benchmark.target or of_any

    def how_to_fit(self, benchmark: Benchmark, arch: str) -> str:
        """How to run the benchmark with weights of another architecture, off protocol; empty if there is no way."""
        return ""

    def foresee(self, trial: Trial) -> Foreseen | None:
        """How the trial will relate to its protocol; None if that has no schedule to compare."""
        return None

    def planned_work(self, settings: TrialSettings, arch: str | None) -> Work:
        """What a trial that is to be run computes; unknown unless the task describes it. Imports no torch.

        Args:
            arch: of the weights; None where nobody knows it yet.

        Raises:
            UserError: an override that the task refuses.
        """
        return Work(arch=arch, phases=())

    def recorded_work(self, record: TrialRecord, benchmark: Benchmark) -> Work:
        """What a trial that ran computed. Imports no torch."""
        return Work(arch=record.weights.arch, phases=())

    def undeclared_difference(self, record: TrialRecord, benchmark: Benchmark) -> list[str]:
        """Where a trial's resolved config differs from the protocol as it is resolved now.

        What belongs to the machine and the weights is left out. May import the framework.

        Raises:
            ValueError, LookupError, TypeError, AttributeError: the config is not one of this task.
        """
        raise LookupError(f"trials of {benchmark.name} have no config to compare")

    def shortened(self, work: Work, iterations: int) -> tuple[str, ...]:
        """Overrides that cut the training to this many iterations, for a probe; none if trials report each step."""
        return ()

    def count(self, benchmark: Benchmark, arch: str | None = None) -> ModelCost:
        """What one image costs in the benchmark's model, counted as it runs; imports the framework.

        Args:
            arch: a network for a protocol that takes any; all but the network is counted then.

        Raises:
            UserError: the task has no model of its own to count.
        """
        raise UserError(f"trials of {benchmark.name} are not counted as a whole: name a benchmark with boxes or masks")


def task_of(benchmark: Benchmark) -> Task:
    """The task that runs a benchmark."""
    task: Task = importlib.import_module(benchmark.task).TASK
    return task
