"""Do all weights suit all benchmarks? Asked before the first trial, so that no answer comes after hours."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import UserError
from transfer.benchmarks import BENCHMARKS
from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server
from transfer.trials.run_one import remove_empty_folders
from transfer.weights.arch import arch_of
from transfer.weights.backbone import architecture
from transfer.work import Asked


def check_architectures(plans: Sequence[TrialPlan]) -> None:
    """Compares the architecture of all weights that are there with the one that each benchmark's config has.

    Raises:
        UserError: there is no architecture of this name, or it is not the benchmark's.
    """
    for benchmark, weights, overrides, rescale in {
        (plan.benchmark, plan.weights, plan.overrides, plan.rescale): None for plan in plans
    }:
        if weights.is_random:
            architecture.get(arch_of(weights) or "")
        found = arch_of(weights)
        asked = Asked(benchmark=benchmark, overrides=overrides, rescale=rescale, arch=found)
        wanted = task_of(benchmark).planned(asked).arch
        if found is None or wanted is None or _is_same(found, wanted):
            continue
        fitting = [
            other.name
            for other in BENCHMARKS.values()
            if (other.task, other.dataset, other.option, other.arch) == (benchmark.task, benchmark.dataset, None, found)
        ]
        way_out = f"use {' or '.join(fitting)}" if fitting else task_of(benchmark).how_to_fit(benchmark, found)
        is_not = f"{benchmark.name} is for a {wanted}, {weights.source} is a {found}"
        raise UserError(f"{is_not}: give weights of a {wanted}, or {way_out}")


def _is_same(found: str, wanted: str) -> bool:
    """Of ResNets only the depth is compared; the proof of the conversion shows the rest."""
    specs = [architecture.RESNETS.get(arch) for arch in (found, wanted)]
    return found == wanted or (specs[0] is not None and specs[1] is not None and specs[0].depth == specs[1].depth)


def check_weights(plans: Sequence[TrialPlan]) -> None:
    """Reads every checkpoint, and converts it for the frameworks that it is to be used in, where trials will find it.

    In a process that is forked from the trials' own server: frameworks are imported once.

    Raises:
        UserError: a checkpoint is damaged, unknown or ambiguous, has no proven conversion, or does not fit a benchmark.
    """
    firsts = {(plan.benchmark.name, plan.weights): plan for plan in reversed(plans)}
    opened = [plan for plan in firsts.values() if task_of(plan.benchmark).target or not plan.weights.is_random]
    if opened:
        call(fork_server(plans), _check_all, opened[::-1])


def _check_all(plans: Sequence[TrialPlan]) -> None:
    for plan in plans:
        try:
            task_of(plan.benchmark).check_weights(plan.trial())
        except UserError as error:
            remove_empty_folders(plan)
            raise UserError(f"{plan.benchmark.name} from {plan.weights.name}: {error}") from None
