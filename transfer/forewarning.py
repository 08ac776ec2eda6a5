"""What will not be on protocol, said before anything is trained: the protocol lock's word while it can be heeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from common.errors import UserError
from transfer import trials
from transfer.benchmarks import DETECTION, SEGMENTATION
from transfer.plan import TrialPlan
from transfer.protocol_lock import Schedule, Verdict
from transfer.run_trial import trial_of
from transfer.trial import Trial


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
        plans: of detection or segmentation; those of one benchmark differ in weights and seed alone.

    Raises:
        UserError: an override that the framework refuses, or a finished record here that has other settings.
    """
    waiting = {plan.benchmark.name: plan for plan in plans if not plan.finished_record()}
    if not waiting:
        return []
    context = trials.fork_server(list(waiting.values()))
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(list(waiting.values()), sender))
    process.start()
    sender.close()  # so that the pipe ends when the process does
    try:
        told: list[str] | UserError = receiver.recv()
    except EOFError:
        raise UserError("the process that reads the configs was killed: start the same command again") from None
    process.join()
    if isinstance(told, UserError):
        raise told
    return told


def _tell(plans: Sequence[TrialPlan], told: Connection) -> None:
    try:
        told.send([line for plan in plans if (line := forewarning(plan))])
    except UserError as error:
        told.send(error)


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
    from transfer.detection.config import judged, protocol_config, resolve_config, schedule

    cfg, protocol = resolve_config(trial), protocol_config(trial.benchmark.config_path, device=trial.device)
    return Foreseen(verdict=judged(cfg, protocol), protocol=schedule(protocol), used=schedule(cfg))


def _segmentation(trial: Trial) -> Foreseen:
    from transfer.segmentation.config import judged, load_protocol, resolve_config, schedule

    path = trial.benchmark.config_path
    config, difference = resolve_config(path, trial.overrides, trial.rescale)
    verdict = judged(config, path, difference)
    return Foreseen(verdict=verdict, protocol=schedule(load_protocol(path)), used=schedule(config))


_READERS: dict[str, Callable[[Trial], Foreseen]] = {DETECTION: _detection, SEGMENTATION: _segmentation}
