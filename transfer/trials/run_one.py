"""Runs one trial in this process and writes its record: the only place where records are made."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transfer.record import OUTCOMES_NAME, TrialRecord, WeightsInfo
from transfer.record_bounds import MAX_TEXT
from transfer.task import task_of
from transfer.trial import Outcome
from transfer.trials.claim import Claim, live_owner, take
from transfer.trials.plan import TrialPlan
from transfer.trials.provenance import first_line, provenance
from transfer.trials.run_ledger import last_start, note_end, note_removal, note_start
from transfer.trials.states import recorded_state
from twist_common.cuda import check_cuda
from twist_common.errors import UserError, system_sentence
from twist_common.files import (
    atomic_path,
    make_dir,
    named_in_errors,
    remove_unfinished,
    sha256_bytes,
    sha256_file,
    sha256_text,
    write_text,
)


class TakenError(Exception):
    """Another process runs the trial; the message says which."""


def run_trial(plan: TrialPlan, progress: Callable[[int, int, str], None]) -> tuple[TrialRecord, bool]:
    """Runs the trial unless its record is there already; everything printed meanwhile goes to the trial's log.

    Whatever the task raises makes a failed record, as does a figure that is not finite.

    Returns:
        The record, and whether the trial ran here rather than in another process just before.

    Raises:
        TakenError: another process runs the trial, here or on another host.
        UserError: bad input; then nothing is left on disk but what was there before.
    """
    claim = take(plan.claim_path)
    if claim is None:
        raise TakenError(str(live_owner(plan.claim_path) or "another process"))
    try:
        with claim.kept():
            if finished := recorded_state(plan).finished():
                return finished, False
            return _run(plan, progress, claim), True
    except UserError:
        remove_empty_folders(plan)
        raise


def _run(plan: TrialPlan, progress: Callable[[int, int, str], None], claim: Claim) -> TrialRecord:
    started = time.monotonic()
    is_new = not plan.trial_dir.exists()
    make_dir(plan.trial_dir)
    for folder in (plan.trial_dir, plan.weights_dir):
        remove_unfinished(folder)
    ledger = ""

    def first_step_noted(done: int, total: int, what: str) -> None:
        """Progress of a trial whose input was found to be good: bad input leaves no line."""
        nonlocal ledger
        ledger = ledger or note_start(plan)
        progress(done, total, what)

    trial = plan.trial(first_step_noted)
    error_path = plan.trial_dir / "error.txt"
    outcome = error = None
    try:
        with _output_to(plan.log_path):
            print(first_line([plan]), flush=True)
            if plan.device == "cuda":
                check_cuda()
            make_dir(trial.work_dir)
            make_dir(trial.weights_dir)
            outcome = task_of(plan.benchmark).run(trial)
    except UserError:
        if is_new:  # otherwise the folder holds what a killed run had done
            shutil.rmtree(plan.trial_dir, ignore_errors=True)
            if ledger:
                note_removal(plan)
        raise
    except Exception as raised:
        write_text(error_path, traceback.format_exc())
        error = f"{type(raised).__name__}: {raised}"
        if isinstance(raised, OSError) and raised.errno is not None:
            where = raised.filename or str(plan.trial_dir)  # without a name of its own, it is the log's or a library's
            error = system_sentence(OSError(raised.errno, raised.strerror, where))
    wall_seconds = time.monotonic() - started
    ledger = ledger or note_start(plan)
    record = make_record(plan, outcome=outcome, error=error, wall_seconds=wall_seconds, ledger=ledger)
    if record.status == "done":
        error_path.unlink(missing_ok=True)
    if not claim.holds():  # this process was taken for dead: the record is the other's to write
        raise TakenError(str(live_owner(plan.claim_path) or "another process"))
    if outcome and OUTCOMES_NAME in record.files:
        with atomic_path(plan.trial_dir / OUTCOMES_NAME) as temporary:
            temporary.write_bytes(outcome.outcomes)
    note_end(plan, record)
    record.save(plan.record_path)
    return record


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Appends to ``path`` whatever this process and its children print while the block runs."""
    streams = (sys.stdout, sys.stderr)
    with path.open("a") as log:
        before = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        try:
            yield
        finally:
            with contextlib.ExitStack() as restored:
                for number, copy in zip((1, 2), before, strict=True):
                    restored.callback(os.close, copy)
                    restored.callback(os.dup2, copy, number)
                with named_in_errors(path):
                    for stream in streams:
                        stream.flush()


def make_record(
    plan: TrialPlan, *, outcome: Outcome | None, error: str | None, wall_seconds: float, ledger: str = "", **known: Any
) -> TrialRecord:
    """The record of a trial that ended, with an outcome or with an error.

    Args:
        ledger: hash of the line of its start.
        known: facts about its machine that are not this one's.
    """
    found = outcome or Outcome(metrics={}, resolved_config="", arch="unknown", source_format="unknown")
    if not error and (broken := found.unfit()):
        error = f"no figure of the metric: {', '.join(f'{name} = {value}' for name, value in broken.items())}"
    if not error and not found.metrics:
        error = "the task returned no metric"
    if error:
        found = dataclasses.replace(found, metrics={}, references={}, inflated={}, choices={}, outcomes=b"")
        error = error.encode(errors="replace").decode()[:MAX_TEXT]
    files = {path.relative_to(plan.trial_dir).as_posix(): sha256_file(path) for path in found.pictures}
    if found.outcomes:
        files[OUTCOMES_NAME] = sha256_bytes(found.outcomes)
    result = found.result() | {
        "metrics": {name: dataclasses.replace(each, value=float(each.value)) for name, each in found.metrics.items()},
        "pictures": [path.relative_to(plan.trial_dir).as_posix() for path in found.pictures],
    }
    weights = WeightsInfo(
        name=plan.weights.name,
        sha256=plan.weights.sha256,
        source=plan.weights.source,
        source_format=found.source_format,
        arch=found.arch,
        proof=found.proof,
    )
    return TrialRecord(
        **result,
        suite=plan.suite,
        benchmark=plan.benchmark.name,
        protocol_version=plan.benchmark.protocol_version,
        seed=plan.seed,
        status="failed" if error else "done",
        error=error,
        weights=weights,
        inputs_sha256=plan.inputs_sha256,
        config_sha256=sha256_text(found.resolved_config) if outcome else "",
        repeats=plan.repeats,
        files=files,
        ledger=ledger,
        **(provenance(plan.device, wall_seconds) | known),
    ).sealed()


def record_death(plan: TrialPlan, reason: str, wall_seconds: float, **known: Any) -> None:
    """Writes the failed record of a trial whose process died, unless another process has taken the trial over.

    Args:
        known: facts about its machine that are not this one's.
    """
    claim = take(plan.claim_path)
    if claim is None:
        return
    with claim.kept():
        if not recorded_state(plan).finished():
            started = last_start(plan) or note_start(plan)
            record = make_record(plan, outcome=None, error=reason, wall_seconds=wall_seconds, ledger=started, **known)
            note_end(plan, record)
            record.save(plan.record_path)


def remove_empty_folders(plan: TrialPlan) -> None:
    """Removes the folders that a refused trial leaves empty."""
    for folder in (plan.weights_dir, plan.weights_dir.parent, *plan.trial_dir.parents):
        if folder == plan.runs:
            break
        with contextlib.suppress(OSError):  # missing, or not empty because others work there
            folder.rmdir()
