"""Puts a plan together: for each benchmark and initialisation what would run, how long, and how much disk."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from transfer.planner import disk, makespan
from transfer.planner.devices import Machine
from transfer.planner.disk import Item
from transfer.planner.estimate import Estimate, Question, assumptions, estimate, unknown
from transfer.planner.history import Past
from transfer.planner.missing import missing_checkpoint, missing_data
from transfer.task import task_of
from transfer.trial import WeightsRef
from transfer.trials.devices import gpus_per_trial, visible_gpus
from transfer.trials.plan import TrialPlan
from transfer.trials.states import TO_RUN, State, by_state
from transfer.weights.arch import arch_of
from transfer.work import Asked, Work


@dataclass(frozen=True, kw_only=True)
class Row:
    """A benchmark from one initialisation.

    Attributes:
        seeds: of the trials in each state.
        estimate: of one trial; None where none is to be run.
        num_devices: of one trial.
        disk: what the trials to run will leave.
        missing: what has to be there first.
    """

    benchmark: str
    weights: str
    arch: str | None
    seeds: dict[State, tuple[int, ...]]
    estimate: Estimate | None
    num_devices: int
    disk: tuple[Item, ...]
    missing: tuple[str, ...]

    @property
    def num_to_run(self) -> int:
        return sum(len(self.seeds.get(state, ())) for state in TO_RUN)

    @property
    def device_seconds(self) -> float | None:
        """Of all trials to run; None: unknown."""
        if self.estimate is None:
            return 0.0
        return None if self.estimate.device_seconds is None else self.num_to_run * self.estimate.device_seconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All rows, with what they share.

    Attributes:
        converted: weights that will be converted, once for all benchmarks.
        device_seconds, wall_seconds: of the trials to run whose time is known.
        num_unknown: trials to run whose time is not.
    """

    machine: Machine
    jobs: int
    rows: tuple[Row, ...]
    converted: tuple[Item, ...]
    device_seconds: float
    wall_seconds: float
    num_unknown: int

    @property
    def num_bytes(self) -> int:
        """Of what is known."""
        return sum(item.num_bytes or 0 for item in self.items)

    @property
    def items(self) -> list[Item]:
        return [*self.converted, *(item for row in self.rows for item in row.disk)]

    @property
    def notes(self) -> list[str]:
        """What estimates rest on that their own sources do not say."""
        guessed = any(row.estimate and row.estimate.kind == "GPU table" for row in self.rows)
        return [assumptions(self.machine.gpu)] if guessed and self.machine.gpu else []

    @property
    def missing(self) -> dict[str, list[str]]:
        """What is missing, with the benchmarks or weights that want it."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for what in row.missing:
                wanted_by = row.weights if what.startswith("checkpoint") else row.benchmark
                if wanted_by not in found.setdefault(what, []):
                    found[what].append(wanted_by)
        return found


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Makes plans for one machine.

    Attributes:
        pasts: recorded trials to learn from.
        jobs: trials at a time; 0: as many as the devices allow.
        num_gpus: of each trial; None: see :func:`transfer.trials.devices.gpus_per_trial`.
        probing: measure where no recorded trial of a benchmark tells its time.
    """

    pasts: Sequence[Past]
    machine: Machine
    jobs: int = 0
    num_gpus: int | None = None
    probing: bool = False
    _probed: dict[tuple[str, str | None], Estimate] = field(default_factory=dict)

    def plan(self, plans: Sequence[TrialPlan]) -> Plan:
        """Looks at every trial, recorded or not, and estimates what is to be run.

        Raises:
            UserError: an override that the task refuses, or more GPUs a trial than there are.
        """
        groups: dict[tuple[str, str], list[TrialPlan]] = {}
        for plan in plans:
            groups.setdefault((plan.benchmark.name, plan.weights.name), []).append(plan)
        rows = tuple(self._row(group) for group in groups.values())
        trials = [
            (row.estimate.device_seconds / row.num_devices, row.num_devices)
            for row in rows
            for _ in range(row.num_to_run)
            if row.estimate and row.estimate.device_seconds is not None
        ]
        return Plan(
            machine=self.machine,
            jobs=self.jobs,
            rows=rows,
            converted=tuple(_converted(list(groups.values()), rows)),
            device_seconds=sum(row.device_seconds or 0.0 for row in rows),
            wall_seconds=makespan.wall_seconds(trials, self.machine.num_devices, self.jobs),
            num_unknown=sum(row.num_to_run for row in rows if row.device_seconds is None),
        )

    def _row(self, group: Sequence[TrialPlan]) -> Row:
        first = group[0]
        seeds = by_state(group)
        waiting = [plan for plan in group if any(plan.seed in seeds.get(state, ()) for state in TO_RUN)]
        work = _work(first, self.pasts)
        missing = [missing_data(first.benchmark.dataset, first.data)]
        if not first.weights.is_random:
            missing.append(missing_checkpoint(first.weights.source))
        if first.labels is not None and not first.labels.is_file():
            missing.append(f"list of labelled images {first.labels}: --labels names no file")
        num_devices = 1
        if self.machine.device == "cuda":
            num_devices = gpus_per_trial(task_of(first.benchmark), self.machine.num_devices, self.num_gpus)
        question = Question(
            benchmark=first.benchmark,
            arch=work.arch,
            on_protocol=not first.overrides and first.rescale is None,
            work=work,
            machine=self.machine,
        )
        probe = functools.partial(self._probe, waiting, num_devices, any(missing)) if self.probing else None
        return Row(
            benchmark=first.benchmark.name,
            weights=first.weights.name,
            arch=work.arch,
            seeds=seeds,
            estimate=estimate(question, self.pasts, probe) if waiting else None,
            num_devices=num_devices,
            disk=self._disk(waiting, work) if waiting else (),
            missing=tuple(what for what in missing if what),
        )

    def _disk(self, waiting: Sequence[TrialPlan], work: Work) -> tuple[Item, ...]:
        first = waiting[0]
        num_initialisations = len(waiting) if first.weights.is_random else 1
        items = disk.of_trials(first.benchmark, work, self.pasts, len(waiting), num_initialisations=num_initialisations)
        return tuple(items)

    def _probe(
        self, waiting: Sequence[TrialPlan], num_devices: int, something_missing: bool, question: Question
    ) -> Estimate:
        """Once for all initialisations of an architecture: they take the same time."""
        from transfer.planner.probe import probe

        if something_missing:
            return unknown("no probe without what is missing")
        key = (question.benchmark.name, question.arch)
        if key not in self._probed:
            on_cpu = self.machine.device == "cpu"
            plans = waiting[: self.machine.num_devices] if on_cpu else waiting[:1]
            gpus = () if on_cpu else visible_gpus()[:num_devices]
            self._probed[key] = probe(plans, question.work, gpus)
        return self._probed[key]


def _work(plan: TrialPlan, pasts: Sequence[Past]) -> Work:
    """Raises UserError for an override that the task refuses."""
    asked = Asked(
        benchmark=plan.benchmark,
        overrides=plan.overrides,
        rescale=plan.rescale,
        arch=_recorded_arch(plan.weights, pasts) or arch_of(plan.weights),
    )
    return task_of(plan.benchmark).planned(asked)


def _recorded_arch(weights: WeightsRef, pasts: Sequence[Past]) -> str | None:
    """As a record of these very weights has it, which spares the reading of the checkpoint."""
    recorded = (past.record.weights.arch for past in pasts if past.record.weights.sha256 == weights.sha256)
    return next(recorded, None) if weights.sha256 and not weights.is_random else None


def _converted(groups: Sequence[Sequence[TrialPlan]], rows: Sequence[Row]) -> list[Item]:
    """Weights that are converted once for all benchmarks of a task."""
    found: dict[tuple[str, str | None], Item] = {}
    for group, row in zip(groups, rows, strict=True):
        first = group[0]
        target = task_of(first.benchmark).target
        num_files = row.num_to_run if first.weights.is_random else min(row.num_to_run, 1)
        item = disk.of_weights(target, row.arch, first.weights_dir, num_files)
        if item:
            found.setdefault((first.weights.name, target), item)
    return list(found.values())
