"""Canaries: one short trial with a known outcome, before hours are spent on the long ones.

A set-up can be wrong in ways that no check sees: a data set with shifted boxes, a library that rounds otherwise, a
learning rate for another batch. A short trial from a random initialisation, and one from supervised weights where
they are given, then leave the band in which such trials end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from transfer.benchmarks import Benchmark
from transfer.record import TrialRecord
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.run_many import run_trials

SUITE = "canary"
RANDOM, SUPERVISED = "random initialisation", "supervised weights"


@dataclass(frozen=True, kw_only=True)
class Band:
    """Where the benchmark's main metric must end, in percent; ``low`` itself is outside.

    Attributes:
        source: who measured it, and how; or where it is published.
    """

    low: float
    high: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A benchmark's canary.

    Attributes:
        arch: of the random initialisation.
        overrides: what makes the trial short, in the framework's names.
        random, supervised: expected bands; ``supervised`` is None where nobody has measured one.
    """

    arch: str
    overrides: tuple[str, ...]
    random: Band
    supervised: Band | None = None


# No figures of short trials are published. A short trial cannot do better than the weakest pre-training after the whole
# schedule, which is published, and must detect or segment something at all: that is all these bands say. That
# supervised weights do better than random ones is checked in any case.
TWIST = "of TWIST (arXiv:2110.07402)"


def _below(published: float, where: str) -> dict[str, Band]:
    band = Band(low=0.0, high=published, source=f"up to the weakest row of {where} at the end of its schedule")
    return {"random": band, "supervised": band}


_VOC = _below(56.4, f"table 5 {TWIST}, MoCo v2,")
_COCO = _below(39.8, f"table 5 {TWIST}, MoCo v2,")
_SEG_VOC = _below(67.5, f"table 6 {TWIST}, MoCo v2,")
_SEG_CITYSCAPES = _below(73.8, f"table 6 {TWIST}, DINO,")
_VOC_SHORT = ("SOLVER.MAX_ITER=1000", "SOLVER.STEPS=(750,917)")  # a 24th of the schedule, its drops in proportion
_COCO_SHORT = ("SOLVER.MAX_ITER=2000", "SOLVER.STEPS=(1334,1778)", "SOLVER.WARMUP_ITERS=200")

# Measured from random:resnet18 on seeds 10, 11 and 12, which no suite uses, on two cores in November 2026, one thread a
# trial: mean ± 4 standard deviations of the three, cut at 0. Nobody has supervised weights of digits.
_DEMO_SHORT = ("SOLVER.MAX_ITER=100", "SOLVER.STEPS=(80,)")
_DEMO_VOC = Band(low=0.0, high=9.1, source="measured: 2.95, 5.33, 4.55")
_DEMO_SEG = Band(low=44.0, high=84.5, source="measured: 63.52, 59.62, 69.66")  # background alone has 41.5

CANARIES: dict[str, Canary] = {
    "voc": Canary(arch="resnet50", overrides=_VOC_SHORT, **_VOC),
    "voc-c4": Canary(arch="resnet50", overrides=_VOC_SHORT, **_VOC),
    "voc-frozen": Canary(arch="resnet50", overrides=_VOC_SHORT, **_VOC),
    "coco": Canary(arch="resnet50", overrides=_COCO_SHORT, **_COCO),
    "coco-c4": Canary(arch="resnet50", overrides=_COCO_SHORT, **_COCO),
    "coco-frozen": Canary(arch="resnet50", overrides=_COCO_SHORT, **_COCO),
    "demo-voc": Canary(arch="resnet18", overrides=_DEMO_SHORT, random=_DEMO_VOC),
    "demo-seg": Canary(arch="resnet18", overrides=("train_cfg.max_iters=15",), random=_DEMO_SEG),
    "seg-voc": Canary(arch="resnet50", overrides=("train_cfg.max_iters=1000",), **_SEG_VOC),
    "seg-cityscapes": Canary(arch="resnet50", overrides=("train_cfg.max_iters=1000",), **_SEG_CITYSCAPES),
}


def run_canary(
    benchmark: Benchmark,
    *,
    runs: Path,
    data: Path | None,
    device: str,
    launch: Callable[[Sequence[TrialPlan]], object] = run_trials,
    supervised: str | None = None,
    rescale: int | None = None,
) -> list[str]:
    """Runs the benchmark's canaries that have no record yet, and compares them with their bands.

    Args:
        runs: root of all records. Canaries are recorded beside it, in ``<runs>-canary``: they are in no report.
        data: as for the trials that follow.
        launch: runs trials where those that follow run, and returns when they have ended.
        supervised: path of supervised weights.
        rescale: as for the trials that follow.

    Returns:
        What was found, one line a canary.

    Raises:
        UserError: no canary is known for this benchmark or for supervised weights in it, a band was missed, or a
            canary's trial failed.
    """
    canary = canary_of(benchmark.name)
    sources = {RANDOM: f"random:{canary.arch}"}
    if supervised is not None:
        if canary.supervised is None:
            raise UserError(f"no band is known for supervised weights in {benchmark.name}: leave --canary-weights out")
        sources[SUPERVISED] = supervised
    plans = plan_trials(
        runs=runs.resolve().with_name(f"{runs.resolve().name}-canary"),
        suite=SUITE,
        benchmarks=[benchmark],
        weights=[weights_ref(source) for source in sources.values()],
        seeds=(0,),
        data=data,
        overrides=canary.overrides,
        device=device,
        rescale=rescale,
    )
    launch(plans)
    figures = {kind: _figure(plan) for kind, plan in zip(sources, plans, strict=True)}
    if found := missed(benchmark, canary, figures):
        raise UserError(f"{found}: mend the set-up before the long trials, or leave --canary out")
    return [f"canary: {kind} ends at {benchmark.main_metric} {figure:.2f}" for kind, figure in figures.items()]


def canary_of(name: str) -> Canary:
    """The canary of a benchmark.

    Raises:
        UserError: there is none.
    """
    if name not in CANARIES:
        raise UserError(f"{name} has no canary: leave --canary out; there is one for {', '.join(CANARIES)}")
    return CANARIES[name]


def missed(benchmark: Benchmark, canary: Canary, figures: dict[str, float]) -> str | None:
    """The first band that was missed, as a sentence without its full stop; None if all is well.

    Args:
        figures: main metric in percent, by :data:`RANDOM` and :data:`SUPERVISED`.
    """
    bands = {RANDOM: canary.random, SUPERVISED: canary.supervised}
    for kind, figure in figures.items():
        band = bands[kind]
        assert band is not None, "supervised weights without a band are refused before"
        if not band.low < figure <= band.high:
            return (
                f"the canary of {benchmark.name} from {kind} ended at {benchmark.main_metric} {figure:.2f}, expected "
                f"was above {band.low:g} and up to {band.high:g} ({band.source})"
            )
    if SUPERVISED in figures and figures[SUPERVISED] <= figures[RANDOM]:
        return (
            f"the canary of {benchmark.name} from {SUPERVISED} ended at {benchmark.main_metric} "
            f"{figures[SUPERVISED]:.2f}, no better than {figures[RANDOM]:.2f} from {RANDOM}"
        )
    return None


def _figure(plan: TrialPlan) -> float:
    record = TrialRecord.load(plan.record_path)
    if record.status == "failed":
        raise UserError(f"the canary {plan.label} failed: {record.error}: mend the set-up before the long trials")
    return record.metrics[plan.benchmark.main_metric].value
