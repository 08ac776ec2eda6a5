"""What overrides and another batch mean: refused where the framework refuses them, else forewarned of."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.task import Foreseen, task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server
from twist_common.errors import UserError


def check_settings(plans: Sequence[TrialPlan]) -> None:
    """Has each benchmark's task resolve its config with the overrides, in a process with the framework.

    Without overrides and with the protocol's own batch there is nothing to check, and no framework is imported.

    Raises:
        UserError: an unknown setting (with the nearest one), a value of the wrong type, or a batch that is refused.
    """
    changed = {plan.benchmark.name: plan for plan in plans if plan.overrides or plan.rescale is not None}
    for plan in changed.values():
        try:
            call(fork_server(plans), task_of(plan.benchmark).check_settings, plan.trial())
        except UserError as error:
            raise UserError(f"{plan.benchmark.name}: {error}") from None


def forewarnings(plans: Sequence[TrialPlan]) -> list[str]:
    """One line for each benchmark whose trials will be rescaled or off protocol, before anything is trained.

    Args:
        plans: those of one benchmark differ in weights and seed alone. Only detection and segmentation have protocols
            with a schedule to foresee.

    Raises:
        UserError: an override that the framework refuses.
    """
    firsts = {plan.benchmark.name: plan for plan in plans if task_of(plan.benchmark).target}
    lines = []
    for plan in firsts.values():
        foreseen = call(fork_server(plans), task_of(plan.benchmark).foresee, plan.trial())
        if foreseen and (line := forewarning(plan, foreseen)):
            lines.append(line)
    return lines


def forewarning(plan: TrialPlan, foreseen: Foreseen) -> str | None:
    """The line for one plan, or None where it will be on protocol."""
    verdict, batch_size = foreseen.verdict, foreseen.used.batch_size
    if verdict.standing == "on protocol":
        return None
    line = f"{plan.benchmark.name}, {plan.weights.name}: {verdict.standing}: {'; '.join(verdict.difference)}"
    if plan.rescale is None and verdict.standing == "off protocol" and batch_size != foreseen.protocol.batch_size:
        line += f"; with --rescale {batch_size} the schedule goes with it"
    return f"warning: {line}"
