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

from transfer.planner.estimate import Estimate, unknown
from transfer.planner.timeline import Tick, extrapolate, pace_is_known
from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.process import fork_server, kill, start
from transfer.work import Work
from twist_common.files import make_dir

ITERATIONS = 20  # of a training that is cut
MAX_SECONDS = 300.0


@dataclasses.dataclass
class _Copy:
    """One of the trials that run side by side, and what is known of it so far."""

    process: BaseProcess
    messages: Connection
    ticks: list[Tick] = dataclasses.field(default_factory=list)
    end: float | None = None
    error: str | None = None


def probe(plans: Sequence[TrialPlan], work: Work, gpus: Sequence[str] = ()) -> Estimate:
    """Runs the beginning of each plan's trial, side by side as they would run, and works out how long a trial takes.

    Args:
        plans: of one benchmark, whose data and weights exist; on CPU as many as will run at a time.
        work: of one of these trials.
        gpus: those of the one trial; none on CPU.
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
    source = f"probe on this machine: {', '.join(known[0].parts)}"
    if len(known) > 1:
        source += f", {len(known)} trials side by side"
    if unwatched := [*known[0].unseen, *([] if known[0].to_the_end else ["what comes last"])]:
        source += f"; without {', '.join(unwatched)}"
    num_devices = max(len(gpus), 1)
    return Estimate(
        kind="probe",
        device_seconds=num_devices * statistics.mean(found.wall_seconds for found in known),
        source=source,
        low=num_devices * min(found.wall_seconds - 2 * found.deviation for found in known),
        high=num_devices * max(found.wall_seconds + 2 * found.deviation for found in known),
    )


def _watch(plans: Sequence[TrialPlan], gpus: Sequence[str]) -> list[_Copy]:
    """Runs the trials until all have ended, or the pace of one is known."""
    context = fork_server(plans)
    copies = [_Copy(*start(context, _probe_process, plan, gpus=gpus)) for plan in plans]
    deadline = time.monotonic() + MAX_SECONDS
    running = list(copies)
    try:
        while running and (left := deadline - time.monotonic()) > 0:
            for connection in wait([copy.messages for copy in running], timeout=left):
                copy = next(copy for copy in running if copy.messages is connection)
                try:
                    kind, content = copy.messages.recv()
                except EOFError:
                    kind, content = "error", "its process died (out of memory, or killed)"
                if kind == "tick":
                    copy.ticks.append(content)
                    if pace_is_known(copy.ticks):  # and by now that of the others too
                        return copies
                else:
                    copy.end, copy.error = (content, None) if kind == "end" else (None, content)
                    running.remove(copy)
    finally:
        for copy in copies:
            kill(copy.process)
    return copies


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
        except Exception as error:  # of whatever kind: the plan shows it
            messages.send(("error", f"{type(error).__name__}: {error}"))
        else:
            messages.send(("end", time.monotonic() - started))
