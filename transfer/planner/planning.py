"""Puts a plan together: for each benchmark and initialisation what would run, how long it takes, and how much disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transfer.planner import disk
from transfer.planner.devices import Machine
from transfer.planner.disk import DiskItem
from transfer.planner.estimate import Estimate, Question, assumptions, estimate, unknown
from transfer.planner.history import PastTrial
from transfer.planner.makespan import wall_seconds
from transfer.planner.memory import PlannedMemory, planned_memory
from transfer.task import task_of
from transfer.trials.devices import gpus_per_trial
from transfer.trials.plan import TrialPlan
from transfer.trials.states import TO_RUN, State, by_state
from transfer.weights.of_trial import arch_of
from transfer.work import Work
from twist_common.gpus import visible_gpus


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """A benchmark from one initialisation.

    Attributes:
        seeds: of the trials in each state.
        estimate: of one trial; None where none is to be run.
        num_devices: of one trial.
        memory: of each of its GPUs; None: unknown, on CPU, or nothing is to be run.
        disk: what the trials to be run will write.
        missing: what has to exist first.
    """

    benchmark: str
    weights: str
    arch: str | None
    seeds: dict[State, tuple[int, ...]]
    estimate: Estimate | None
    num_devices: int
    memory: PlannedMemory | None
    disk: tuple[DiskItem, ...]
    missing: tuple[str, ...]

    @property
    def num_to_run(self) -> int:
        return sum(len(self.seeds.get(state, ())) for state in TO_RUN)

    @property
    def device_seconds(self) -> float | None:
        """Of all trials to be run; None: unknown."""
        if self.estimate is None:
            return 0.0
        return None if self.estimate.device_seconds is None else self.num_to_run * self.estimate.device_seconds


@dataclass(frozen=True, kw_only=True)
class PlannedTrials:
    """All rows, with what they share.

    Attributes:
        converted: weights that will be converted, once for all benchmarks of a task.
        device_seconds, wall_seconds: of the trials to be run whose time is known.
        num_unknown: trials to be run whose time is not.
    """

    machine: Machine
    jobs: int
    rows: tuple[PlannedRow, ...]
    converted: tuple[DiskItem, ...]
    device_seconds: float
    wall_seconds: float
    num_unknown: int

    @property
    def num_bytes(self) -> int:
        """Of what is known."""
        return sum(item.num_bytes or 0 for item in self.items)

    @property
    def items(self) -> list[DiskItem]:
        return [*self.converted, *(item for row in self.rows for item in row.disk)]

    @property
    def notes(self) -> list[str]:
        """What estimates rest on that their own sources do not say."""
        guessed = any(row.estimate and row.estimate.kind == "GPU table" for row in self.rows)
        return [assumptions(self.machine)] if guessed else []

    @property
    def missing(self) -> dict[str, list[str]]:
        """What is missing, with the benchmarks or weights that need it."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for what in row.missing:
                needed_by = row.weights if what.startswith("checkpoint") else row.benchmark
                if needed_by not in found.setdefault(what, []):
                    found[what].append(needed_by)
        return found


@dataclass(kw_only=True)
class Planner:
    """Makes plans for one machine.

    Attributes:
        past_trials: recorded trials to learn from.
        jobs: trials at a time; 0: as many as the devices allow.
        num_gpus: of each trial; None: see :func:`transfer.trials.devices.gpus_per_trial`.
        probing: measure where no recorded trial of a benchmark shows its time.
    """

    past_trials: Sequence[PastTrial]
    machine: Machine
    jobs: int = 0
    num_gpus: int | None = None
    probing: bool = False
    _probed: dict[tuple[str, str | None], Estimate] = field(default_factory=dict, init=False)

    def plan(self, plans: Sequence[TrialPlan]) -> PlannedTrials:
        """Looks at every trial, recorded or not, and estimates what is to be run.

        Raises:
            UserError: an override that the task refuses, or more GPUs per trial than there are.
        """
        groups: dict[tuple[str, str], list[TrialPlan]] = {}
        for plan in plans:
            groups.setdefault((plan.benchmark.name, plan.weights.name), []).append(plan)
        rows = tuple(self._row(group) for group in groups.values())
        converted: dict[tuple[str, str], DiskItem] = {}
        for (first, *_), row in zip(groups.values(), rows, strict=True):
            target = task_of(first.benchmark).target_of(first.benchmark)
            if target and row.num_to_run:
                num_files = row.num_to_run if first.weights.is_random else 1
                item = disk.of_weights(target, row.arch, first.weights_dir, num_files)
                converted.setdefault((first.weights.name, target), item)
        trials = [
            (row.estimate.device_seconds / row.num_devices, row.num_devices)
            for row in rows
            for _ in range(row.num_to_run)
            if row.estimate and row.estimate.device_seconds is not None
        ]
        return PlannedTrials(
            machine=self.machine,
            jobs=self.jobs,
            rows=rows,
            converted=tuple(converted.values()),
            device_seconds=sum(row.device_seconds or 0.0 for row in rows),
            wall_seconds=wall_seconds(trials, self.machine.num_devices, self.jobs),
            num_unknown=sum(row.num_to_run for row in rows if row.device_seconds is None),
        )

    def _row(self, group: Sequence[TrialPlan]) -> PlannedRow:
        first = group[0]
        seeds = by_state(group)
        waiting = [plan for plan in group if any(plan.seed in seeds.get(state, ()) for state in TO_RUN)]
        task, weights, missing = task_of(first.benchmark), first.weights, missing_for(first)
        arch = None
        if weights.sha256 and not weights.is_random:  # a record of these very weights spares reading the checkpoint
            infos = (past.record.weights for past in self.past_trials)
            arch = next((info.arch for info in infos if info.sha256 == weights.sha256), None)
        work = task.planned_work(first, arch or arch_of(weights))
        num_devices = 1
        if self.machine.device == "cuda":
            num_devices = gpus_per_trial(task, self.machine.num_joint or self.machine.num_devices, self.num_gpus)
        items: tuple[DiskItem, ...] = ()
        if waiting:
            num_initialisations = len(waiting) if weights.is_random else 1
            items = disk.of_trials(first.benchmark, work, self.past_trials, len(waiting), num_initialisations)
        return PlannedRow(
            benchmark=first.benchmark.name,
            weights=weights.name,
            arch=work.arch,
            seeds=seeds,
            estimate=self._estimate(waiting, work, num_devices, complete=not missing) if waiting else None,
            num_devices=num_devices,
            memory=self._memory(work, num_devices) if waiting else None,
            disk=items,
            missing=tuple(missing),
        )

    def _memory(self, work: Work, num_gpus: int) -> PlannedMemory | None:
        gpu_bytes = self.machine.gpu_bytes
        if work.memory is None or gpu_bytes is None:
            return None
        from transfer.tasks.network_cost import image_bytes  # it imports torch

        return planned_memory(work.memory, image_bytes=image_bytes(work.memory), num_gpus=num_gpus, gpu_bytes=gpu_bytes)

    def _estimate(self, waiting: Sequence[TrialPlan], work: Work, num_devices: int, *, complete: bool) -> Estimate:
        first = waiting[0]

        def probe_once() -> Estimate:
            """For all initialisations of an architecture: they take the same time."""
            from transfer.planner.probe import probe

            if not complete:
                return unknown("no probe without what is missing")
            key = (first.benchmark.name, work.arch)
            if key not in self._probed:
                on_cpu = self.machine.device == "cpu"
                plans = waiting[: self.machine.num_devices] if on_cpu else waiting[:1]
                self._probed[key] = probe(plans, work, () if on_cpu else visible_gpus()[:num_devices])
            return self._probed[key]

        on_protocol = not first.overrides and first.rescale is None
        question = Question(
            benchmark=first.benchmark, on_protocol=on_protocol, work=work, machine=self.machine, num_devices=num_devices
        )
        return estimate(question, self.past_trials, probe_once if self.probing else None)


def missing_for(plan: TrialPlan) -> list[str]:
    """The trial's data, checkpoint and list of labels that do not exist. The doctor looks closer before trials."""
    missing = []
    row, root = plan.benchmark.dataset, plan.data
    if not root.is_dir() or not (row.parts is None or any(path.name in row.parts for path in root.iterdir())):
        what = f"nothing of the data set in {root}" if root.is_dir() else f"no folder {root}"
        where = f"give --data DIR or set DATA_ROOT; {row.title}: {row.guide.format(root=root)}"
        missing.append(f"{what}: {'run tools/demo_data.sh' if row.embedded else where}")
    path = Path(plan.weights.source)
    if not plan.weights.is_random and not path.exists():
        missing.append(f"checkpoint {path} does not exist")
    if plan.labels is not None and not plan.labels.is_file():
        missing.append(f"list of labelled images {plan.labels}: --labels names no file")
    return missing
