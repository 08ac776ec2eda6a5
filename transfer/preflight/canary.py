"""Canaries: one short trial with a known outcome, before hours are spent on the long ones.

A set-up can be wrong in ways that no check sees: a data set with shifted boxes, a library that rounds differently, a
learning rate for another batch. Then a short trial from a random initialisation, or one from supervised weights where
these are given, ends outside the band in which such trials end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.record_bounds import direction_of
from transfer.rows import Benchmark
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.weights.of_trial import arch_of
from twist_common.errors import UserError

SUITE = "canary"
RANDOM, SUPERVISED = "random initialisation", "supervised weights"


def run_canaries(
    plans: Sequence[TrialPlan], launch: Callable[[Sequence[TrialPlan]], object], supervised: Path | None
) -> list[str]:
    """Runs the canaries of the plans' benchmarks that have no record yet, and compares them with their bands.

    Canaries are recorded beside the runs, in ``<runs>-canary``: they are in no report.

    Args:
        plans: the trials that follow, with the same data, device and batch.
        launch: runs trials where those that follow will run, and returns when they have ended.
        supervised: supervised weights for a second canary of each benchmark.

    Returns:
        What was found, one line per canary.

    Raises:
        UserError: a benchmark has no canary, or none for supervised weights; a band was missed, or a canary failed.
    """
    firsts = {plan.benchmark: plan for plan in reversed(plans)}
    canaries = {benchmark: _canaries_before(plan, supervised) for benchmark, plan in reversed(firsts.items())}
    launch([plan for found in canaries.values() for plan in found.values()])
    lines = []
    for benchmark, found in canaries.items():
        figures = {}
        for kind, plan in found.items():
            record = TrialRecord.load(plan.record_path)
            if record.status == "failed":
                raise UserError(
                    f"the canary {plan.label} failed: {record.error}: fix the set-up before the long trials"
                )
            figures[kind] = record.metrics[benchmark.main_metric].value
        if what := missed(benchmark, figures):
            raise UserError(f"{what}: fix the set-up before the long trials, or leave --canary out")
        lines += [f"canary: {kind} ends at {benchmark.main_metric} {figure:.2f}" for kind, figure in figures.items()]
    return lines


def _canaries_before(plan: TrialPlan, supervised: Path | None) -> dict[str, TrialPlan]:
    """The canaries of a trial's benchmark, by what they start from."""
    canary = plan.benchmark.canary
    if canary is None:
        known = ", ".join(benchmark.name for benchmark in BENCHMARKS.values() if benchmark.canary)
        is_own = plan.benchmark.dataset.is_own
        why = (
            "nobody knows where a short trial on your data ends" if is_own else "where a short one ends is not measured"
        )
        raise UserError(f"{plan.benchmark.name} has no canary, as {why}: leave --canary out; there is one for {known}")
    sources = {RANDOM: f"random:{plan.benchmark.arch or arch_of(plan.weights)}"}
    if supervised is not None:
        if canary.supervised is None:
            raise UserError(
                f"no band is known for supervised weights in {plan.benchmark.name}: leave --canary-weights out"
            )
        sources[SUPERVISED] = str(supervised)
    runs = plan.runs.resolve()
    planned = plan_trials(
        runs=runs.with_name(f"{runs.name}-canary"),
        suite=SUITE,
        benchmarks=[plan.benchmark],
        weights=[weights_ref(source) for source in sources.values()],
        seeds=(0,),
        data=plan.data,
        overrides=canary.overrides,
        device=plan.device,
        rescale=plan.rescale,
    )
    return dict(zip(sources, planned, strict=True))


def missed(benchmark: Benchmark, figures: dict[str, float]) -> str | None:
    """The first band that was missed, as a sentence without its full stop; None if all is well.

    Args:
        figures: of the main metric, by :data:`RANDOM` and :data:`SUPERVISED`.
    """
    canary = benchmark.canary
    assert canary is not None, "benchmarks without a canary are refused before"
    bands = {RANDOM: canary.random, SUPERVISED: canary.supervised}
    is_error = direction_of(benchmark.main_metric) == "lower"
    for kind, figure in figures.items():
        band = bands[kind]
        assert band is not None, "supervised weights without a band are refused before"
        if not (band.low <= figure < band.high if is_error else band.low < figure <= band.high):
            expected = "from {:g} to below {:g}" if is_error else "above {:g} and up to {:g}"
            return (
                f"the canary of {benchmark.name} from {kind} ended at {benchmark.main_metric} {figure:.2f}, but should "
                f"have ended {expected.format(band.low, band.high)} ({band.source})"
            )
    gain = figures[SUPERVISED] - figures[RANDOM] if SUPERVISED in figures else None
    if gain is not None and (-gain if is_error else gain) <= 0:
        return (
            f"the canary of {benchmark.name} from {SUPERVISED} ended at {benchmark.main_metric} "
            f"{figures[SUPERVISED]:.2f}, no better than {figures[RANDOM]:.2f} from {RANDOM}"
        )
    return None
