"""What will not be on protocol, said before anything is trained: the protocol lock's word while it can be heeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transfer.benchmarks import DETECTION, SEGMENTATION
from transfer.protocol_lock import Schedule, Verdict
from transfer.trial import Trial
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server
from transfer.trials.run_one import trial_of


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """Where a trial will stand, with the schedules of its protocol and of its own."""

    verdict: Verdict
    protocol: Schedule
    used: Schedule


def forewarnings(plans: Sequence[TrialPlan]) -> list[str]:
    """One line for each benchmark whose trials still have to run and will be rescaled or off protocol.

    The frameworks tell their configs in a process that is forked from the trials' own server: they are imported once.
    If every trial has its record, they are not imported at all.

    Args:
        plans: those of one benchmark differ in weights and seed alone. Only detection and segmentation have protocols
            that are foreseen.

    Raises:
        UserError: an override that the framework refuses, or a finished record here that has other settings.
    """
    unfinished = [plan for plan in plans if not plan.finished_record()]
    waiting = {plan.benchmark.name: plan for plan in unfinished if plan.benchmark.task in _READERS}
    if not waiting:
        return []
    return call(fork_server(unfinished), _foreseen, list(waiting.values()))


def _foreseen(plans: Sequence[TrialPlan]) -> list[str]:
    return [line for plan in plans if (line := forewarning(plan))]


def forewarning(plan: TrialPlan) -> str | None:
    """The line for one plan, or None where it will be on protocol. Imports the framework.

    Raises:
        UserError: an override that the framework refuses.
    """
    foreseen = _READERS[plan.benchmark.task](trial_of(plan))
    verdict, batch_size = foreseen.verdict, foreseen.used.batch_size
    if verdict.standing == "on protocol":
        return None
    line = f"{plan.benchmark.name}, {plan.weights.name}: {verdict.standing}: {'; '.join(verdict.difference)}"
    if plan.rescale is None and verdict.standing == "off protocol" and batch_size != foreseen.protocol.batch_size:
        line += f"; with --rescale {batch_size} the schedule goes with it"
    return f"warning: {line}"


def _detection(trial: Trial) -> Foreseen:
    from transfer.tasks.detection.config import judged, protocol_config, resolve_config, schedule

    cfg, protocol = resolve_config(trial), protocol_config(trial.benchmark.config_path, device=trial.device)
    return Foreseen(verdict=judged(cfg, protocol), protocol=schedule(protocol), used=schedule(cfg))


def _segmentation(trial: Trial) -> Foreseen:
    from transfer.tasks.segmentation.config import judged, load_protocol, resolve_config, schedule

    path = trial.benchmark.config_path
    config, difference = resolve_config(path, trial.overrides, trial.rescale)
    verdict = judged(config, path, difference)
    return Foreseen(verdict=verdict, protocol=schedule(load_protocol(path)), used=schedule(config))


_READERS: dict[str, Callable[[Trial], Foreseen]] = {DETECTION: _detection, SEGMENTATION: _segmentation}
