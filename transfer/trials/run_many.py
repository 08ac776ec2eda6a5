"""Runs many trials on this machine, as many at once as there are devices, and reports how they went.

Several runners may work on one folder: each trial is claimed by the process that runs it
(:mod:`transfer.trials.claim`); the other runners turn to the next ones, and in the end wait for those they passed over.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from transfer.task import task_of
from transfer.trials.board import WAITING
from transfer.trials.claim import take
from transfer.trials.devices import DevicePool, gpus_per_trial, local_devices
from transfer.trials.display import TrialsDisplay
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, ended_by_sigterm, fork_server, kill, start, trial_process
from transfer.trials.provenance import first_line
from transfer.trials.run_one import record_death
from transfer.trials.states import TrialState, recorded_state, state_of, unfinished
from transfer.trials.summary import End, RunSummary
from twist_common.errors import UserError
from twist_common.files import make_dir
from twist_common.gpus import joint_gpus

POLL_SECONDS = 1.0  # how often the trials of other runners are looked at


def run_trials(
    plans: Sequence[TrialPlan],
    *,
    jobs: int = 0,
    num_gpus: int | None = None,
    after_benchmark: Callable[[], str] | None = None,
) -> RunSummary:
    """Runs every trial that has no finished record; a failed trial does not stop the others.

    Args:
        jobs: trials at a time; 0 for no limit but the devices, which on CPU are one per core.
        num_gpus: of each trial; None for what its task has (:func:`transfer.trials.devices.gpus_per_trial`).
        after_benchmark: see :class:`TrialsDisplay`.

    Raises:
        UserError: bad use; or a trial found bad input: then no further one was started, and those running have ended.
    """
    waiting = unfinished(plans)
    summary = RunSummary(skipped=len(plans) - len(waiting))
    if not waiting:
        return summary
    if jobs < 0:
        raise UserError(f"--jobs is {jobs}: give 0 for as many as there are devices, or a limit")
    device = waiting[0].device
    devices = local_devices(device, jobs)
    if device == "cpu" and num_gpus is not None:
        raise UserError("--gpus-per-trial is for GPUs, and these trials run on CPU: leave it out")
    num_joint = len(joint_gpus(devices))
    needs = [1 if device == "cpu" else gpus_per_trial(task_of(plan.benchmark), num_joint, num_gpus) for plan in waiting]
    make_dir(waiting[0].runs)
    print(first_line(waiting), file=sys.stderr, flush=True)
    display = TrialsDisplay(waiting, summary, num_devices=len(devices), after_benchmark=after_benchmark)
    with ended_by_sigterm(), display:
        LocalRunner(waiting, needs, DevicePool(devices, jobs), display).run()
    if summary.refused:
        raise UserError(summary.refused[0])
    return summary


@dataclass
class WaitingTrial:
    """A trial that is not running here.

    Attributes:
        num_devices: how many it needs.
        failure_ns: when the failed record was written that the trial is to replace; None if there is none.
    """

    plan: TrialPlan
    num_devices: int
    failure_ns: int | None

    def end_elsewhere(self, state: TrialState) -> tuple[End, str] | None:
        """How another runner has ended the trial since this one began, and with what result; None if it has not."""
        if state.conflict:  # the other runner has other settings
            return "refused", state.conflict
        if state.name == "done":
            return "done elsewhere", "by another runner"
        if state.record and state.failed_since(self.failure_ns):
            return "failed", f"{state.record.error} (in another runner)"
        return None


@dataclass
class RunningTrial:
    """A trial that runs here, in a process of its own."""

    waiting: WaitingTrial
    devices: tuple[str, ...]
    process: Any
    messages: Connection
    started_at: float

    @property
    def plan(self) -> TrialPlan:
        return self.waiting.plan


class LocalRunner:
    """Runs the trials of one :func:`run_trials`.

    Attributes:
        waiting: in the order in which they are tried: those that need most devices come first, so that small trials
            take what big ones leave free and never keep them waiting.
        elsewhere: those that other runners have.
    """

    def __init__(
        self, plans: Sequence[TrialPlan], needs: Sequence[int], pool: DevicePool, display: TrialsDisplay
    ) -> None:
        self.pool, self.display = pool, display
        self.uses_gpus = plans[0].device == "cuda"
        self.context = fork_server(plans)
        trials = [
            WaitingTrial(plan, need, recorded_state(plan).written_ns) for plan, need in zip(plans, needs, strict=True)
        ]
        self.waiting = sorted(trials, key=lambda trial: -trial.num_devices)
        self.elsewhere: list[WaitingTrial] = []
        self.running: list[RunningTrial] = []
        self.next_look = 0.0

    def run(self) -> None:
        """Returns when every trial has ended, here or elsewhere."""
        try:
            while self.waiting or self.running or self.elsewhere:
                self._look_elsewhere()
                self._start_what_fits()
                if self.display.summary.refused:
                    self.waiting.clear()
                    self.elsewhere.clear()
                self._listen()
        finally:
            for trial in self.running:
                kill(trial.process)
                if claim := take(trial.plan.claim_path):
                    claim.release()

    def _look_elsewhere(self) -> None:
        """Counts the trials that other runners have ended; those that were let go of are waiting again."""
        if not self.elsewhere or time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + POLL_SECONDS  # not at every step of the trials here
        for trial in list(self.elsewhere):
            state = state_of(trial.plan)
            if end := trial.end_elsewhere(state):
                self.elsewhere.remove(trial)
                self.display.ended(trial.plan, *end)
            elif not state.owner:
                self.elsewhere.remove(trial)
                self.waiting.insert(0, trial)
                self.display.board.move(trial.plan.label, WAITING)

    def _start_what_fits(self) -> None:
        for trial in list(self.waiting):
            if self.display.summary.refused:
                return
            devices = self.pool.take(trial.num_devices)
            if devices is None:
                continue
            self.waiting.remove(trial)
            state = state_of(trial.plan)
            if end := trial.end_elsewhere(state):
                self.pool.give_back(devices)
                self.display.ended(trial.plan, *end)
            elif state.owner:
                self.pool.give_back(devices)
                self._leave(trial, str(state.owner))
            else:
                gpus = devices if self.uses_gpus else ()
                process, messages = start(self.context, trial_process, trial.plan, gpus=gpus)
                self.running.append(RunningTrial(trial, devices, process, messages, time.monotonic()))
                self.display.started(trial.plan, f"GPU {','.join(gpus)}" if gpus else devices[0])

    def _leave(self, trial: WaitingTrial, owner: str) -> None:
        self.elsewhere.append(trial)
        self.display.left(trial.plan, owner)

    def _listen(self) -> None:
        """Waits until a trial that runs here has something to say, and takes it in."""
        if not self.running:
            if self.elsewhere and not self.waiting:
                time.sleep(POLL_SECONDS)
            return
        sources = {source: trial for trial in self.running for source in (trial.messages, trial.process.sentinel)}
        ready = wait(list(sources), timeout=POLL_SECONDS if self.elsewhere else None)
        for trial in {id(sources[source]): sources[source] for source in ready}.values():
            kind: Any = "died"
            content: Any = None
            with contextlib.suppress(EOFError):
                if trial.messages.poll():
                    kind, content = trial.messages.recv()
            if kind == "progress":
                self.display.board.advance(trial.plan.label, *content)
            else:
                self._end(trial, kind, content)

    def _end(self, trial: RunningTrial, kind: Any, content: str) -> None:
        """Takes in the last message of a trial (:func:`transfer.trials.process.trial_process`)."""
        if kind == "died":  # without a word: what it had started is ended, and its trial recorded
            kill(trial.process)
            content = f"its process died with exit code {trial.process.exitcode} (out of memory, or killed)"
            gpus = trial.devices if self.uses_gpus else ()  # so that the record names them
            call(self.context, record_death, trial.plan, content, time.monotonic() - trial.started_at, gpus=gpus)
            kind = "failed"
        trial.process.join()
        trial.messages.close()
        if kind == "taken":
            self._leave(trial.waiting, content)
        else:
            self.display.ended(trial.plan, kind, content)
        self.running.remove(trial)
        self.pool.give_back(trial.devices)
