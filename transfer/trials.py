"""Runs many trials on this machine, each in a process of its own, and says how they went.

The frameworks take 6 to 8 seconds to import. A fork server imports them once, then each trial is forked from it:
still one process, one seed, one record, without the wait.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from common.cli import EXIT_BAD_USE, EXIT_DONE, EXIT_TRIAL_FAILED
from common.errors import UserError
from common.files import make_dir
from transfer import run_trial as runner
from transfer.plan import TrialPlan
from transfer.progress import TrialsDisplay

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Running:
    plan: TrialPlan
    process: BaseProcess
    messages: Connection


@dataclass
class Summary:
    """How the trials went; ``failed`` holds (plan, reason), ``refused`` what was wrong with the input."""

    done: int = 0
    skipped: int = 0
    failed: list[tuple[TrialPlan, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return EXIT_TRIAL_FAILED if self.failed else EXIT_DONE


def run_trials(plans: Sequence[TrialPlan], *, jobs: int = 0) -> Summary:
    """Runs every trial that has no finished record; a failed trial does not stop the others.

    Args:
        jobs: trials at a time; 0 means one a GPU, or one a core on CPU.

    Raises:
        UserError: a trial found bad input; no further one was started, those under way have ended.
    """
    summary = Summary()
    waiting = []
    for plan in plans:
        if plan.finished_record():
            summary.skipped += 1
        else:
            waiting.append(plan)
    if not waiting:
        return summary
    make_dir(waiting[0].runs)
    jobs = jobs or default_jobs(waiting[0].device)
    context = fork_server(waiting)
    with TrialsDisplay(total=len(plans), already_done=summary.skipped) as display:
        _drive(waiting, jobs, context, display, summary)
    if summary.refused:
        raise UserError(summary.refused[0])
    return summary


def default_jobs(device: str) -> int:
    """One trial a core on CPU; on GPUs one trial at a time, which uses all of them."""
    return 1 if device == "cuda" else len(os.sched_getaffinity(0))


def resolve_device(device: str) -> str:
    """``"auto"`` to ``"cuda"`` where a GPU answers, else ``"cpu"``.

    Raises:
        UserError: an unknown device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device is {device!r}: known are auto, cpu, cuda")
    if device != "auto":
        return device
    if shutil.which("nvidia-smi") is None:
        return "cpu"
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return "cuda" if "GPU 0" in listing.stdout else "cpu"


def fork_server(plans: Sequence[TrialPlan]) -> Any:
    """The multiprocessing context whose server imports the plans' frameworks once, for processes forked from it."""
    if plans[0].device == "cpu":
        for variable in THREAD_VARIABLES:  # the same sums in the same order on every machine, and no spinning threads
            os.environ[variable] = "1"
    context = multiprocessing.get_context("forkserver")
    tasks = sorted({plan.benchmark.task for plan in plans})
    context.set_forkserver_preload([task.removesuffix(".task") + ".preload" for task in tasks])
    return context


def _drive(waiting: list[TrialPlan], jobs: int, context: Any, display: TrialsDisplay, summary: Summary) -> None:
    running: list[_Running] = []
    waiting = list(waiting)
    try:
        while waiting or running:
            if summary.refused:
                waiting.clear()
            while waiting and len(running) < jobs:
                plan = waiting.pop(0)
                running.append(_start(plan, context))
                display.started(plan.label)
            if not running:
                break
            for connection in wait([trial.messages for trial in running]):
                trial = next(trial for trial in running if trial.messages is connection)
                if _receive(trial, display, summary):
                    running.remove(trial)
    finally:
        for trial in running:
            trial.process.kill()
            trial.process.join()


def _start(plan: TrialPlan, context: Any) -> _Running:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_trial_process, args=(plan, sender))
    process.start()
    sender.close()  # so that the pipe ends when the trial's process does
    return _Running(plan=plan, process=process, messages=receiver)


def _receive(trial: _Running, display: TrialsDisplay, summary: Summary) -> bool:
    """Takes one message; True when the trial has ended."""
    plan = trial.plan
    try:
        kind, content = trial.messages.recv()
    except EOFError:
        trial.process.join()
        reason = f"its process died with exit code {trial.process.exitcode} (out of memory, or killed)"
        runner.make_record(plan, outcome=None, error=reason, wall_seconds=0.0).save(plan.record_path)
        kind, content = "failed", reason
    if kind == "progress":
        display.advanced(plan.label, *content)
        return False
    trial.process.join()
    trial.messages.close()
    if kind == "user error":
        summary.refused.append(content)
    elif kind == "failed":
        summary.failed.append((plan, content))
    else:
        summary.done += 1
    display.ended(plan.label, kind, content)
    return True


def _trial_process(plan: TrialPlan, messages: Connection) -> None:
    """What runs in the trial's own process: everything it prints goes to the trial's log."""
    _die_with_parent()
    make_dir(plan.trial_dir)
    with (plan.trial_dir / "log.txt").open("a", buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            record = runner.run_trial(plan, lambda *step: messages.send(("progress", step)))
        except UserError as error:
            messages.send(("user error", str(error)))
            sys.exit(EXIT_BAD_USE)
        main = record.metrics.get(plan.benchmark.main_metric)
        result = f"{plan.benchmark.main_metric} {main.value:.2f}" if main else ""
        messages.send((record.status, record.error or result))


def _die_with_parent() -> None:
    """A killed run must not leave trials behind that go on beside those of the next one.

    The fork server lives as long as any trial does, so it is the runner itself whose end is watched.
    """
    runner_process = multiprocessing.parent_process()
    assert runner_process is not None, "a trial runs in a process of its own"

    def watch() -> None:
        wait([runner_process.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def print_failures(summary: Summary, command: str) -> None:
    """One line a failed trial: which, why; then how to go on."""
    for plan, reason in summary.failed:
        details = plan.trial_dir / "error.txt"
        print(f"failed: {plan.label}: {reason} (details: {details})", file=sys.stderr)
    if summary.failed:
        print(
            f"{len(summary.failed)} trial(s) failed, the others are recorded; "
            f"mend the cause and start {command} again: it runs only what is missing",
            file=sys.stderr,
        )
