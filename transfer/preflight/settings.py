"""Overrides that a framework would refuse, found before anything is planned or read."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import UserError
from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server


def check_settings(plans: Sequence[TrialPlan]) -> None:
    """Has each benchmark's task resolve its config with the overrides, in a process with the framework.

    Without overrides and with the protocol's own batch there is nothing to check, and no framework is imported.

    Raises:
        UserError: an unknown setting (with the nearest one), a value of the wrong type, or a batch that is refused.
    """
    changed = {plan.benchmark.name: plan for plan in plans if plan.overrides or plan.rescale is not None}
    if changed:
        call(fork_server(plans), _resolve, list(changed.values()))


def _resolve(plans: Sequence[TrialPlan]) -> None:
    for plan in plans:
        try:
            task_of(plan.benchmark).check_settings(plan.trial())
        except UserError as error:
            raise UserError(f"{plan.benchmark.name}: {error}") from None
