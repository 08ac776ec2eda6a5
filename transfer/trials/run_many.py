"""Runs many trials on this machine, as many at once as there are devices, and says how they went.

Several runners may work on one folder: each trial is claimed by the process that runs it
(:mod:`transfer.trials.claim`), the others go on with the next and in the end wait for what they left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from common.cli import EXIT_DONE, EXIT_TRIAL_FAILED
from common.errors import UserError
from common.files import make_dir
from transfer.record import TrialRecord
from transfer.task import task_of
from transfer.trials.claim import live_owner, take
from transfer.trials.devices import DevicePool, gpus_per_trial, local_devices
from transfer.trials.display import TrialsDisplay
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, ended_by_sigterm, fork_server, kill, start
from transfer.trials.run_one import record_death

POLL_SECONDS = 1.0  # how often it is looked at how trials of other runners are


@dataclass
class Summary:
    """How the trials went; ``failed`` holds (plan, reason), ``refused`` what was wrong with the input.

    ``skipped`` had a record before, ``elsewhere`` were done by another runner meanwhile, ``queued`` are left to a
    cluster's scheduler.
    """

    done: int = 0
    skipped: int = 0
    elsewhere: int = 0
    queued: int = 0
    failed: list[tuple[TrialPlan, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return EXIT_TRIAL_FAILED if self.failed else EXIT_DONE


def run_trials(plans: Sequence[TrialPlan], *, jobs: int = 0, num_gpus: int | None = None) -> Summary:
    """Runs every trial that has no finished record; a failed trial does not stop the others.

    Args:
        jobs: trials at a time, 0 for no limit but the devices; on CPU 0 is one a core.
        num_gpus: of each trial; None for its task's (:func:`transfer.trials.devices.gpus_per_trial`).

    Raises:
        UserError: bad use; or a trial found bad input: no further one was started, those under way have ended.
    """
    summary = Summary()
    waiting = [plan for plan in plans if not plan.finished_record()]
    summary.skipped = len(plans) - len(waiting)
    if not waiting:
        return summary
    if jobs < 0:
        raise UserError(f"--jobs is {jobs}: give 0 for as many as there are devices, or a limit")
    device = waiting[0].device
    devices = local_devices(device, jobs)
    needs = [
        1 if device == "cpu" else gpus_per_trial(task_of(plan.benchmark), len(devices), num_gpus) for plan in waiting
    ]
    make_dir(waiting[0].runs)
    with (
        ended_by_sigterm(),
        TrialsDisplay(waiting, already_done=summary.skipped, num_devices=len(devices)) as display,
    ):
        _Runner(waiting, needs, DevicePool(devices, jobs), display, summary).run()
    if summary.refused:
        raise UserError(summary.refused[0])
    return summary


@dataclass
class _Waiting:
    """A trial that is not running.

    Attributes:
        num_devices: that it needs.
        failure: when the failed record was written that it is to replace, or None.
    """

    plan: TrialPlan
    num_devices: int
    failure: int | None


@dataclass
class _Running:
    waiting: _Waiting
    devices: tuple[str, ...]
    process: Any
    messages: Connection
    started_at: float

    @property
    def plan(self) -> TrialPlan:
        return self.waiting.plan


class _Runner:
    """Drives the trials of one :func:`run_trials`.

    Attributes:
        waiting: in the order in which they are tried: those that need most devices first, so that small trials take
            what big ones leave and never keep them waiting.
        elsewhere: those that other runners have.
    """

    def __init__(
        self,
        plans: Sequence[TrialPlan],
        needs: Sequence[int],
        pool: DevicePool,
        display: TrialsDisplay,
        summary: Summary,
    ) -> None:
        self.pool, self.display, self.summary = pool, display, summary
        self.uses_gpus = plans[0].device == "cuda"
        self.context = fork_server(plans)
        trials = [_Waiting(plan, need, _failed_at(plan)) for plan, need in zip(plans, needs, strict=True)]
        self.waiting = sorted(trials, key=lambda trial: -trial.num_devices)
        self.elsewhere: list[_Waiting] = []
        self.running: list[_Running] = []
        self.next_look = 0.0

    def run(self) -> None:
        try:
            while self.waiting or self.running or self.elsewhere:
                self._look_elsewhere()
                self._start_what_fits()
                if self.summary.refused:
                    self.waiting.clear()
                    self.elsewhere.clear()
                self._listen()
        finally:
            for trial in self.running:
                kill(trial.process)
                if claim := take(trial.plan.claim_path):
                    claim.release()

    def _start_what_fits(self) -> None:
        for trial in list(self.waiting):
            if self.summary.refused:
                return
            devices = self.pool.take(trial.num_devices)
            if devices is None:
                continue
            self.waiting.remove(trial)
            if self._is_ended_elsewhere(trial) or self._is_elsewhere(trial):
                self.pool.give_back(devices)
                continue
            process, messages = start(self.context, trial.plan, devices if self.uses_gpus else ())
            self.running.append(_Running(trial, devices, process, messages, time.monotonic()))
            self.display.started(trial.plan, _device_label(devices, self.uses_gpus))

    def _is_elsewhere(self, trial: _Waiting) -> bool:
        owner = live_owner(trial.plan.claim_path)
        if owner is None:
            return False
        self._leave(trial, str(owner))
        return True

    def _leave(self, trial: _Waiting, owner: str) -> None:
        self.elsewhere.append(trial)
        self.display.left(trial.plan, owner)

    def _look_elsewhere(self) -> None:
        """Those that another runner has ended are counted; those that it has let go of are waiting again."""
        if not self.elsewhere or time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + POLL_SECONDS  # not at every step of the trials here
        for trial in list(self.elsewhere):
            owned = live_owner(trial.plan.claim_path) is not None  # before the record, which is there when it ends
            if self._is_ended_elsewhere(trial):
                self.elsewhere.remove(trial)
            elif not owned:
                self.elsewhere.remove(trial)
                self.waiting.insert(0, trial)
                self.display.waits(trial.plan)

    def _is_ended_elsewhere(self, trial: _Waiting) -> bool:
        """Whether another runner has ended the trial since this one began; then it is counted."""
        plan = trial.plan
        try:
            record = plan.finished_record()
        except UserError as error:  # the other runner has other settings
            self.summary.refused.append(str(error))
            return True
        if record:
            self.summary.elsewhere += 1
            self.display.ended(plan, "done", "by another runner")
            return True
        if _failed_at(plan) != trial.failure:
            reason = f"{TrialRecord.load(plan.record_path).error} (in another runner)"
            self.summary.failed.append((plan, reason))
            self.display.ended(plan, "failed", reason)
            return True
        return False

    def _listen(self) -> None:
        """Waits until a trial has something to say, and hears it."""
        if not self.running:
            if self.elsewhere and not self.waiting:
                time.sleep(POLL_SECONDS)
            return
        sources = {source: trial for trial in self.running for source in (trial.messages, trial.process.sentinel)}
        ready = wait(list(sources), timeout=POLL_SECONDS if self.elsewhere else None)
        for trial in {id(sources[source]): sources[source] for source in ready}.values():
            if self._hear(trial):
                self.running.remove(trial)
                self.pool.give_back(trial.devices)

    def _hear(self, trial: _Running) -> bool:
        """Takes one message; True when the trial has ended."""
        plan = trial.plan
        kind, content = self._message(trial)
        if kind == "progress":
            self.display.advanced(plan, *content)
            return False
        trial.process.join()
        trial.messages.close()
        if kind == "taken":
            self._leave(trial.waiting, content)
            return True
        if kind == "recorded":
            return self._is_ended_elsewhere(trial.waiting)
        if kind == "user error":
            self.summary.refused.append(content)
            kind = "refused"
        elif kind == "done":
            self.summary.done += 1
        else:
            self.summary.failed.append((plan, content))
        self.display.ended(plan, kind, content)
        return True

    def _message(self, trial: _Running) -> tuple[str, Any]:
        """The next that the trial tells (:func:`transfer.trials.process.start`), in place of one that has died too."""
        try:
            if trial.messages.poll():
                kind, content = trial.messages.recv()
                return kind, content
        except EOFError:
            pass
        return "failed", self._bury(trial)

    def _bury(self, trial: _Running) -> str:
        """Records the trial of a process that died without a word, and ends what that had started."""
        kill(trial.process)
        reason = f"its process died with exit code {trial.process.exitcode} (out of memory, or killed)"
        gpus = trial.devices if self.uses_gpus else ()  # so that the record names them
        call(self.context, record_death, trial.plan, reason, time.monotonic() - trial.started_at, gpus=gpus)
        return reason


def _device_label(devices: Sequence[str], uses_gpus: bool) -> str:
    return f"GPU {','.join(devices)}" if uses_gpus else devices[0]


def _failed_at(plan: TrialPlan) -> int | None:
    """When the trial's record was last written, in ns; None if there is none."""
    try:
        return plan.record_path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def print_failures(summary: Summary, command: str) -> None:
    """One line a failed trial: which, why, where its traceback and output are; then how to go on."""
    for plan, reason in summary.failed:
        traces = {"traceback": plan.trial_dir / "error.txt", "output": plan.log_path}
        where = ", ".join(f"{what}: {path}" for what, path in traces.items() if path.is_file())
        print(f"failed: {plan.label}: {reason}{f' ({where})' if where else ''}", file=sys.stderr)
    if summary.failed:
        print(
            f"{len(summary.failed)} trial(s) failed, the others are recorded; "
            f"mend the cause and start {command} again: it runs only what is missing",
            file=sys.stderr,
        )
