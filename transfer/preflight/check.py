"""The one order in which every command and suite checks its trials: what is cheapest to find out comes first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.preflight.canary import run_canaries
from transfer.preflight.data import check_data
from transfer.preflight.protocol import forewarnings
from transfer.preflight.settings import check_settings
from transfer.preflight.weights import check_architectures, check_weights
from transfer.trials.plan import TrialPlan
from transfer.trials.states import unfinished


@dataclass(kw_only=True)
class CanaryArgs:
    """Whether a short trial with a known outcome comes before the long ones."""

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
) -> None:
    """Overrides, architectures, data, weights, protocol, canaries; warnings go to stderr.

    Args:
        plans: all trials of a command; those that have their record are left alone.
        launch: runs trials where those that follow will run, and returns when they have ended.

    Raises:
        UserError: the first thing that is wrong, or a finished record that was made with other settings.
    """
    waiting = unfinished(plans)
    if not waiting:
        return
    check_without_data(waiting)
    check_data(waiting)
    check_weights(waiting)
    for line in forewarnings(waiting):
        print(line, file=sys.stderr)
    if args.canary:
        for line in run_canaries(waiting, launch, args.canary_weights):
            print(line, file=sys.stderr)
