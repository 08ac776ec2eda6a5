"""A short probe: the task's own code on the real data, in a temporary folder, stopped as soon as its pace is known."""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from common.files import make_dir
from transfer.planner.estimate import Estimate, unknown
from transfer.planner.timeline import Measured, Tick, extrapolate
from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import fork_server, kill, start
from transfer.work import TRAINING, Work

ITERATIONS = 20  # of a training that is cut
PHASE_SECONDS = 20.0  # a phase is watched so long
WORTH_WAITING_SECONDS = 60.0  # and to its end if that is so near: then what follows is seen too
MAX_SECONDS = 300.0


@dataclasses.dataclass
class _Copy:
    """One of the trials that run side by side."""

    process: BaseProcess
    messages: Connection
    ticks: list[Tick] = dataclasses.field(default_factory=list)
    end: float | None = None
    error: str | None = None


def probe(plans: Sequence[TrialPlan], work: Work, gpus: Sequence[str] = ()) -> Estimate:
    """Runs the beginning of each plan's trial, all at once as they would run, and works out how long a trial takes.

    Args:
        plans: of one benchmark, whose data and weights are there; on CPU as many as trials will run at a time.
        work: of one of these trials.
        gpus: that the one trial has; none on CPU.
    """
    cut = task_of(plans[0].benchmark).shortened(work, ITERATIONS)
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        short = [
            dataclasses.replace(plan, runs=Path(folder) / str(number), overrides=(*plan.overrides, *cut))
            for number, plan in enumerate(plans)
        ]
        copies = _watch(short, gpus)
    measured = [extrapolate(copy.ticks, work, end=copy.end, cut=bool(cut)) for copy in copies]
    known = [found for found in measured if found]
    errors = [copy.error for copy in copies if copy.error]
    # A model that was hardly trained may detect nothing, which its trial rightly calls a failure after the last phase.
    if errors and (not known or known[0].unseen):
        return unknown(f"the probe failed: {errors[0]}")
    if not known:
        return unknown(f"this machine does not do two steps within {MAX_SECONDS:g} s")
    return _estimate(known, num_devices=max(len(gpus), 1))


def _estimate(known: Sequence[Measured], num_devices: int) -> Estimate:
    seconds = statistics.mean(found.wall_seconds for found in known)
    source = f"probe on this machine: {', '.join(known[0].parts)}"
    if len(known) > 1:
        source += f", {len(known)} trials side by side"
    unwatched = [*known[0].unseen, *([] if known[0].to_the_end else ["what comes last"])]
    if unwatched:
        source += f"; without {', '.join(unwatched)}"
    return Estimate(
        kind="probe",
        device_seconds=num_devices * seconds,
        source=source,
        low=num_devices * min(found.wall_seconds - 2 * found.deviation for found in known),
        high=num_devices * max(found.wall_seconds + 2 * found.deviation for found in known),
    )


def _watch(plans: Sequence[TrialPlan], gpus: Sequence[str]) -> list[_Copy]:
    """Runs the trials until each has ended, or its pace is known."""
    context = fork_server(plans)
    copies = [_Copy(*start(context, _probe_process, plan, gpus=gpus)) for plan in plans]
    started = time.monotonic()
    running = list(copies)
    try:
        while running and (left := started + MAX_SECONDS - time.monotonic()) > 0:
            for connection in wait([copy.messages for copy in running], timeout=left):
                copy = next(copy for copy in running if copy.messages is connection)
                if _receive(copy):
                    running.remove(copy)
                    if copy.end is None and not copy.error:  # its pace is known, and by now that of the others too
                        return copies
    finally:
        for copy in copies:
            kill(copy.process)
    return copies


def _receive(copy: _Copy) -> bool:
    """Takes one message; True when there is nothing more to wait for."""
    try:
        kind, content = copy.messages.recv()
    except EOFError:
        copy.error = "its process died (out of memory, or killed)"
        return True
    if kind == "tick":
        copy.ticks.append(content)
        return _is_known(copy.ticks)
    copy.end, copy.error = (content, None) if kind == "end" else (None, content)
    return True


def _is_known(ticks: Sequence[Tick]) -> bool:
    """The present phase was watched long enough, and its end is far.

    Training ends soon, by ``shortened`` or not at all: what comes after it is worth waiting for.
    """
    last = ticks[-1]
    phase = [tick for tick in ticks if tick.what == last.what]
    elapsed = last.seconds - phase[0].seconds
    if last.what == TRAINING or elapsed < PHASE_SECONDS or last.done == phase[0].done:
        return False
    return elapsed / (last.done - phase[0].done) * (last.total - last.done) > WORTH_WAITING_SECONDS


def _probe_process(plan: TrialPlan, messages: Connection) -> None:
    """What runs in the trial's own process."""
    started = time.monotonic()
    trial = plan.trial(
        lambda done, total, what: messages.send(("tick", Tick(time.monotonic() - started, done, total, what)))
    )
    make_dir(trial.work_dir)
    make_dir(trial.weights_dir)
    with (plan.trial_dir / "log.txt").open("a", buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            task_of(plan.benchmark).run(trial)
        except Exception as error:  # of whatever kind: the plan says so and goes on
            messages.send(("error", f"{type(error).__name__}: {error}"))
        else:
            messages.send(("end", time.monotonic() - started))
