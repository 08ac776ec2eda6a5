"""The one order in which every command and suite checks its trials: what is cheapest to find out is checked first."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer import compat
from transfer.doctor.check import check_dataset
from transfer.doctor.near_duplicates.within import FoundRepeats, find_repeats
from transfer.preflight.canary import run_canaries
from transfer.preflight.settings import check_settings, forewarnings
from transfer.preflight.weights import check_architectures, check_weights
from transfer.record import Repeats
from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server
from transfer.trials.states import unfinished
from twist_common.errors import UserError
from twist_common.printable import printable
from twist_common.progress import progress_bar

# Settings by which a trial asks for other data than its protocol's.
DATA_SETTINGS = ("DATASETS.", "num_images", "train_dataloader.dataset", "test_dataloader.dataset")


@dataclass(kw_only=True)
class CanaryArgs:
    """Whether short trials with a known outcome come before the long ones."""

    canary: bool = False
    """first run one short trial from a random initialisation, and stop if it does not end where it should"""
    canary_weights: Path | None = None
    """supervised weights for a second canary"""


def check_without_data(plans: Sequence[TrialPlan]) -> None:
    """Overrides and architectures: the part of the preflight that needs neither data nor the trials' machine.

    Raises:
        UserError: an override that the framework refuses, or weights of another architecture than the benchmark's.
    """
    check_settings(plans)
    check_architectures(plans)


def check_before_trials(
    plans: Sequence[TrialPlan], args: CanaryArgs, launch: Callable[[Sequence[TrialPlan]], object]
) -> list[TrialPlan]:
    """Overrides, architectures, data, weights, protocol, canaries; warnings go to stderr.

    Args:
        plans: all trials of a command; those that have their record are left alone.
        launch: runs trials where those that follow will run, and returns when they have ended.

    Returns:
        The plans, with the :attr:`~transfer.trials.plan.TrialPlan.repeats` of own data.

    Raises:
        UserError: the first thing that is wrong, or a finished record that was made with other settings.
    """
    try:
        waiting = unfinished(plans)
    except UserError:
        check_settings(plans)  # a misspelt setting is what made them others
        raise
    if not waiting:
        return list(plans)
    check_frameworks(waiting)
    check_without_data(waiting)
    repeats = check_data(waiting)
    check_weights(waiting)
    for line in forewarnings(waiting):
        print(printable(line), file=sys.stderr)
    if args.canary:
        for line in run_canaries(waiting, launch, args.canary_weights):
            print(printable(line), file=sys.stderr)
    return [dataclasses.replace(plan, repeats=repeats.get(plan.benchmark.dataset.content)) for plan in plans]


def check_frameworks(plans: Sequence[TrialPlan]) -> None:
    """Raises UserError where a trial needs a framework that is not installed."""
    for target in {task_of(plan.benchmark).target for plan in plans}:
        if reason := compat.missing_framework(target):
            raise UserError(reason)


def check_data(plans: Sequence[TrialPlan]) -> dict[str, Repeats]:
    """Refuses data that are incomplete or damaged; the first time it reads every file.

    Of own data it then says how many test images are among the training images too.

    Another number of images than the protocol's is refused unless an override asks for other data than the protocol's,
    so that the trial is off protocol.

    Returns:
        The hash of own data's content to the test images among the training images.

    Raises:
        UserError: see :func:`transfer.doctor.check.check_dataset`.
    """
    found: dict[str, FoundRepeats] = {}
    different = {(plan.benchmark.dataset, plan.data, plan.overrides): plan for plan in plans}
    with progress_bar("checking the data") as progress:
        for (row, root, _), plan in different.items():
            check_dataset(row, root, counts=not wants_other_data(plans, plan), progress=progress)
            if row.is_own and (of_row := find_repeats(row, root, progress)):
                found[row.content] = of_row
    for each in found.values():
        print(printable("\n".join(each.lines())))
    return {content: each.counts for content, each in found.items()}


def wants_other_data(plans: Sequence[TrialPlan], plan: TrialPlan) -> bool:
    """Whether an override makes a trial's data other than its protocol's; giving the protocol's own value does not."""
    if not any(override.startswith(DATA_SETTINGS) for override in plan.overrides):
        return False
    foreseen = call(fork_server(plans), task_of(plan.benchmark).foresee, plan.trial())
    return foreseen is not None and any(line.startswith(DATA_SETTINGS) for line in foreseen.verdict.difference)
