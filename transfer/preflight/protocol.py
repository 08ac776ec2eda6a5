"""What will not be on protocol, said before anything is trained: the protocol lock's word while it can be heeded."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server


def forewarnings(plans: Sequence[TrialPlan]) -> list[str]:
    """One line for each benchmark whose trials will be rescaled or off protocol.

    The configs are resolved in a process that is forked from the trials' own server: frameworks are imported once.

    Args:
        plans: those of one benchmark differ in weights and seed alone. Only detection and segmentation have protocols
            that are foreseen.

    Raises:
        UserError: an override that the framework refuses.
    """
    firsts = {plan.benchmark.name: plan for plan in plans if task_of(plan.benchmark).target}
    return call(fork_server(plans), _forewarn, list(firsts.values())) if firsts else []


def _forewarn(plans: Sequence[TrialPlan]) -> list[str]:
    return [line for plan in plans if (line := forewarning(plan))]


def forewarning(plan: TrialPlan) -> str | None:
    """The line for one plan, or None where it will be on protocol. Imports the framework.

    Raises:
        UserError: an override that the framework refuses.
    """
    foreseen = task_of(plan.benchmark).foresee(plan.trial())
    if foreseen is None:
        return None
    verdict, batch_size = foreseen.verdict, foreseen.used.batch_size
    if verdict.standing == "on protocol":
        return None
    line = f"{plan.benchmark.name}, {plan.weights.name}: {verdict.standing}: {'; '.join(verdict.difference)}"
    if plan.rescale is None and verdict.standing == "off protocol" and batch_size != foreseen.protocol.batch_size:
        line += f"; with --rescale {batch_size} the schedule goes with it"
    return f"warning: {line}"
