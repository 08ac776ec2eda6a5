"""Puts a plan together: for each benchmark and initialisation what would run, how long, and how much disk."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import UserError
from transfer.benchmarks import DETECTION, SEGMENTATION
from transfer.devices import gpus_per_trial, visible_gpus
from transfer.plan import TrialPlan
from transfer.planner import disk, makespan
from transfer.planner.devices import Machine
from transfer.planner.disk import Item
from transfer.planner.estimate import UNKNOWN, Estimate, Question, estimate
from transfer.planner.history import Past, work_module
from transfer.planner.missing import missing_checkpoint, missing_data
from transfer.planner.states import TO_RUN, State, by_state
from transfer.planner.work import Asked, Work
from transfer.trial import RANDOM_PREFIX, WeightsRef

DENSE = (DETECTION, SEGMENTATION)  # their protocols name the architecture


@dataclass(frozen=True, kw_only=True)
class Row:
    """A benchmark from one initialisation.

    Attributes:
        seeds: of the trials in each state.
        estimate: of one trial.
        num_devices: of one trial.
        disk: what the trials to run will leave.
        missing: what has to be there first.
    """

    benchmark: str
    weights: str
    arch: str | None
    seeds: dict[State, tuple[int, ...]]
    estimate: Estimate
    num_devices: int
    disk: tuple[Item, ...]
    missing: tuple[str, ...]

    @property
    def num_to_run(self) -> int:
        return sum(len(self.seeds.get(state, ())) for state in TO_RUN)

    @property
    def device_seconds(self) -> float | None:
        """Of all trials to run; None: unknown."""
        if not self.num_to_run:
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
    def missing(self) -> dict[str, list[str]]:
        """What is missing, with the benchmarks or weights that want it."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for what in row.missing:
                wanted_by = row.weights if what.startswith("checkpoint") else row.benchmark
                if wanted_by not in found.setdefault(what, []):
                    found[what].append(wanted_by)
        return found


def make_plan(
    plans: Sequence[TrialPlan],
    pasts: Sequence[Past],
    machine: Machine,
    *,
    jobs: int = 0,
    num_gpus: int | None = None,
    probing: bool = False,
) -> Plan:
    """Looks at every trial and estimates what is to be run.

    Args:
        plans: all trials, recorded or not.
        pasts: recorded trials to learn from.
        jobs: trials at a time; 0: as many as the devices allow.
        num_gpus: of each trial; None: see :func:`transfer.devices.gpus_per_trial`.
        probing: measure where no recorded trial of a benchmark tells its time.
    """
    groups: dict[tuple[str, str], list[TrialPlan]] = {}
    for plan in plans:
        groups.setdefault((plan.benchmark.name, plan.weights.name), []).append(plan)
    rows = tuple(_row(group, pasts, machine, num_gpus, probing) for group in groups.values())
    known = [row for row in rows if row.device_seconds is not None]
    trials = [
        (row.estimate.device_seconds / row.num_devices, row.num_devices)
        for row in known
        for _ in range(row.num_to_run)
        if row.estimate.device_seconds is not None
    ]
    return Plan(
        machine=machine,
        jobs=jobs,
        rows=rows,
        converted=tuple(_converted(list(groups.values()), rows)),
        device_seconds=sum(row.device_seconds or 0.0 for row in known),
        wall_seconds=makespan.wall_seconds(trials, machine.num_devices, jobs),
        num_unknown=sum(row.num_to_run for row in rows if row.device_seconds is None),
    )


def _row(
    group: Sequence[TrialPlan], pasts: Sequence[Past], machine: Machine, num_gpus: int | None, probing: bool
) -> Row:
    first = group[0]
    seeds = by_state(group)
    work = _work(first, pasts)
    arch = work.arch if work else _arch(first.weights, pasts)
    missing = [missing_data(first.benchmark, first.data)]
    if not first.weights.is_random:
        missing.append(missing_checkpoint(first.weights.source))
    waiting = [plan for plan in group if any(plan.seed in seeds.get(state, ()) for state in TO_RUN)]
    question = Question(
        benchmark=first.benchmark,
        arch=arch,
        on_protocol=not first.overrides and first.rescale is None,
        work=work,
        machine=machine,
    )
    num_devices = 1
    if machine.device == "cuda":
        num_devices = gpus_per_trial(first.benchmark.task, machine.num_devices, num_gpus)
    measure = None
    if probing and work and waiting and not any(missing):
        measure = functools.partial(_probe, waiting, num_devices)
    return Row(
        benchmark=first.benchmark.name,
        weights=first.weights.name,
        arch=arch,
        seeds=seeds,
        estimate=estimate(question, pasts, measure) if waiting else UNKNOWN,
        num_devices=num_devices,
        disk=tuple(disk.of_trials(first.benchmark, work, pasts, len(waiting))) if waiting else (),
        missing=tuple(what for what in missing if what),
    )


def _work(plan: TrialPlan, pasts: Sequence[Past]) -> Work | None:
    """Raises UserError for an override that the task refuses."""
    asked = Asked(
        benchmark=plan.benchmark,
        overrides=plan.overrides,
        rescale=plan.rescale,
        arch=None if plan.benchmark.task in DENSE else _arch(plan.weights, pasts),
    )
    work: Work = work_module(plan.benchmark).planned(asked)
    return work


def _arch(weights: WeightsRef, pasts: Sequence[Past]) -> str | None:
    """As named, else as a record of these very weights has it, else as the checkpoint says, which imports torch."""
    if weights.is_random:
        return weights.source.removeprefix(RANDOM_PREFIX)
    if weights.arch or not weights.sha256:
        return weights.arch
    recorded = (past.record.weights.arch for past in pasts if past.record.weights.sha256 == weights.sha256)
    return next(recorded, None) or _arch_in_file(weights)


@functools.cache
def _arch_in_file(weights: WeightsRef) -> str | None:
    from transfer.backbone import load_backbone

    try:
        return load_backbone(weights.source, weights.which, weights.arch).arch
    except UserError:
        return None  # the trial will say why


def _probe(waiting: Sequence[TrialPlan], num_devices: int, question: Question) -> Estimate:
    from transfer.planner.probe import probe

    assert question.work is not None, "asked for with a work alone"
    if question.machine.device == "cuda":
        return probe(waiting[:1], question.work, visible_gpus()[:num_devices])
    return probe(waiting[: question.machine.num_devices], question.work)


def _converted(groups: Sequence[Sequence[TrialPlan]], rows: Sequence[Row]) -> list[Item]:
    """Weights that are converted once for all benchmarks of a task."""
    found: dict[tuple[str, str], Item] = {}
    for group, row in zip(groups, rows, strict=True):
        first = group[0]
        num_files = row.num_to_run if first.weights.is_random else min(row.num_to_run, 1)
        item = disk.of_weights(first.benchmark.task, row.arch, first.weights_dir, num_files)
        if item:
            found.setdefault((first.weights.name, first.benchmark.task), item)
    return list(found.values())
