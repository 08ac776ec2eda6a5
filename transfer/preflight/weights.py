"""Do all weights suit all benchmarks? Asked before the first trial, so that no answer comes after hours."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.benchmarks import BENCHMARKS
from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server
from transfer.trials.run_one import remove_empty_folders
from transfer.weights.backbone import architecture
from transfer.weights.of_trial import arch_of
from twist_common.errors import UserError


def check_architectures(plans: Sequence[TrialPlan]) -> None:
    """Compares the architecture of all weights that exist with the one that each benchmark's config has.

    Raises:
        UserError: there is no architecture of this name, it is not the benchmark's, or does not take its images.
    """

    def compared(arch: str) -> str | int:
        """Of ResNets only the depth; the proof of the conversion shows the rest."""
        return architecture.RESNETS[arch].depth if arch in architecture.RESNETS else arch

    different = {(plan.benchmark, plan.weights, plan.overrides, plan.rescale): plan for plan in plans}
    for plan in different.values():
        benchmark, task, found = plan.benchmark, task_of(plan.benchmark), arch_of(plan.weights)
        if plan.weights.is_random:
            architecture.get(found or "")
        work = task.planned_work(plan, found)
        wanted = work.arch
        if found and work.image_size and (reason := does_not_take(found, work.image_size)):
            raise UserError(
                f"{benchmark.name} shows images of {work.image_size} px, {plan.weights.source} is a {found}, "
                f"which takes {reason}: set another size (off protocol), or give weights of another network"
            )
        if found is None or wanted is None or compared(found) == compared(wanted):
            continue
        like = (benchmark.task, benchmark.dataset.name, benchmark.option, benchmark.target)
        fitting = [
            f"{other.variant_of} {other.option}" if other.option else other.name
            for other in BENCHMARKS.values()
            if (other.task, other.dataset.name, other.option, other.target) == like and other.arch in (found, None)
        ]
        way_out = f"use {' or '.join(fitting)}" if fitting else task.how_to_fit(benchmark, found)
        is_not = f"{benchmark.name} is for a {wanted}, {plan.weights.source} is a {found}"
        raise UserError(f"{is_not}: give weights of a {wanted}, or {way_out}")


def does_not_take(arch: str, side: int) -> str:
    """What the architecture takes in place of square images of this side in pixels; empty if it takes them."""
    spec = architecture.get(arch)
    if isinstance(spec, architecture.TimmSpec) and not spec.any_size and (side, side) != spec.image_size:
        return f"{'x'.join(map(str, spec.image_size))} px only"
    if spec.patch_size and side % spec.patch_size[0]:
        return f"whole patches of {spec.patch_size[0]} px"
    return ""


def check_weights(plans: Sequence[TrialPlan]) -> None:
    """Reads every checkpoint, and converts it for the frameworks that will use it, where trials will find it.

    In processes that are forked from the trials' own server: frameworks are imported once.

    Raises:
        UserError: a checkpoint is damaged, unknown or ambiguous, has no proven conversion, or does not fit a benchmark.
    """
    firsts: dict[tuple[str, object], TrialPlan] = {}
    for plan in plans:
        if task_of(plan.benchmark).target or not plan.weights.is_random:
            firsts.setdefault((plan.benchmark.name, plan.weights), plan)
    for plan in firsts.values():
        try:
            call(fork_server(plans), task_of(plan.benchmark).check_weights, plan.trial())
        except UserError as error:
            remove_empty_folders(plan)
            raise UserError(f"{plan.benchmark.name} from {plan.weights.name}: {error}") from None
