"""Runs one trial in this process and writes its record: the only place where records are made."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import math
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from common.errors import UserError
from common.files import make_dir, remove_unfinished, sha256_text, write_text
from transfer.record import Metric, TrialRecord, WeightsInfo
from transfer.task import task_of
from transfer.trial import Outcome, Trial
from transfer.trials.claim import Claim, live_owner, take
from transfer.trials.plan import TrialPlan

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "timm",
    "scikit-learn",
    "pycocotools",
    "mmsegmentation",
    "mmengine",
)
ALTERNATIVES = {"detectron2": ("detectron2", "pb1-detectron2"), "mmcv": ("mmcv", "mmcv-lite")}


class TakenError(Exception):
    """Another process runs the trial; the message says which."""


def run_trial(plan: TrialPlan, progress: Callable[[int, int, str], None]) -> TrialRecord:
    """Runs the trial unless its record is there, and returns the record. What it prints goes to its log.

    What the task raises makes a failed record, as does a metric that is not finite.

    Raises:
        TakenError: another process runs it, here or on another host.
        UserError: bad input; then nothing is left on disk, but what was there before.
    """
    return run_or_find(plan, progress)[0]


def run_or_find(plan: TrialPlan, progress: Callable[[int, int, str], None]) -> tuple[TrialRecord, bool]:
    """As :func:`run_trial`; the second value says whether the trial ran here, not in another process just before."""
    claim = take(plan.claim_path)
    if claim is None:
        raise TakenError(str(live_owner(plan.claim_path) or "another process"))
    try:
        with claim.kept():
            if finished := plan.finished_record():
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
    error_path = plan.trial_dir / "error.txt"
    try:
        with _output_to(plan.log_path):
            outcome, error = _call_task(plan, progress), None
    except UserError:
        if is_new:  # else it holds what a killed run has done so far
            shutil.rmtree(plan.trial_dir, ignore_errors=True)
        raise
    except Exception as raised:
        write_text(error_path, traceback.format_exc())
        outcome, error = None, f"{type(raised).__name__}: {raised}"
    record = make_record(plan, outcome=outcome, error=error, wall_seconds=time.monotonic() - started)
    if record.status == "done":
        error_path.unlink(missing_ok=True)
    if not claim.holds():  # this process was taken for dead; the record is the other's to write
        raise TakenError(str(live_owner(plan.claim_path) or "another process"))
    record.save(plan.record_path)
    return record


def record_death(plan: TrialPlan, reason: str, wall_seconds: float) -> None:
    """Makes the failed record of a trial whose process died, unless another process has gone on with it already."""
    claim = take(plan.claim_path)
    if claim is None:
        return
    with claim.kept():
        if not plan.finished_record():
            make_record(plan, outcome=None, error=reason, wall_seconds=wall_seconds).save(plan.record_path)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """What this process and those that it starts print while the block runs is added to ``path``."""
    streams = (sys.stdout, sys.stderr)
    with path.open("a") as log:
        before = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        try:
            yield
        finally:
            for stream, number, copy in zip(streams, (1, 2), before, strict=True):
                stream.flush()
                os.dup2(copy, number)
                os.close(copy)


def _call_task(plan: TrialPlan, progress: Callable[[int, int, str], None]) -> Outcome:
    trial = dataclasses.replace(trial_of(plan), progress=progress)
    make_dir(trial.work_dir)
    make_dir(trial.weights_dir)
    return task_of(plan.benchmark).run(trial)


def trial_of(plan: TrialPlan) -> Trial:
    """The trial that is planned. Its folders are not made yet."""
    return Trial(
        benchmark=plan.benchmark,
        weights=plan.weights,
        seed=plan.seed,
        data=plan.data,
        overrides=plan.overrides,
        device=plan.device,
        work_dir=plan.trial_dir / "work",
        weights_dir=plan.weights_dir,
        rescale=plan.rescale,
        labels=plan.labels,
    )


def remove_empty_folders(plan: TrialPlan) -> None:
    """Removes the folders that a refused trial leaves empty."""
    for folder in (plan.weights_dir, plan.weights_dir.parent, *plan.trial_dir.parents):
        if folder == plan.runs:
            break
        with contextlib.suppress(OSError):  # not there, or not empty: others' work
            folder.rmdir()


def make_record(plan: TrialPlan, *, outcome: Outcome | None, error: str | None, wall_seconds: float) -> TrialRecord:
    """The record of a trial that ended: with an outcome, or with an error."""
    metrics = outcome.metrics if outcome else {}
    if outcome and not error and (broken := _not_finite(outcome)):
        error = f"not a number: {', '.join(f'{name} = {value}' for name, value in broken.items())}"
    if not error and not metrics:
        error = "the task returned no metric"
    commit, dirty = git_state()
    return TrialRecord(
        suite=plan.suite,
        benchmark=plan.benchmark.name,
        protocol_version=plan.benchmark.protocol_version,
        seed=plan.seed,
        status="failed" if error else "done",
        error=error,
        metrics={}
        if error
        else {name: Metric(value=float(m.value), direction=m.direction) for name, m in metrics.items()},
        weights=WeightsInfo(
            name=plan.weights.name,
            sha256=plan.weights.sha256,
            source=plan.weights.source,
            source_format=outcome.source_format if outcome else "unknown",
            arch=outcome.arch if outcome else "unknown",
            proof=outcome.proof if outcome else None,
        ),
        inputs_sha256=plan.inputs_sha256,
        references=outcome.references if outcome and not error else {},
        test_scorings=outcome.test_scorings if outcome else [],
        inflated=outcome.inflated if outcome and not error else {},
        choices=outcome.choices if outcome and not error else {},
        pictures=[path.relative_to(plan.trial_dir).as_posix() for path in outcome.pictures] if outcome else [],
        protocol_difference=outcome.protocol_difference if outcome else [],
        standing=outcome.standing if outcome else "",
        batch=outcome.batch if outcome else "",
        resolved_config=outcome.resolved_config if outcome else "",
        config_sha256=sha256_text(outcome.resolved_config) if outcome else "",
        git_commit=commit,
        git_dirty=dirty,
        packages=package_versions(),
        device=device_name(plan.device),
        wall_seconds=round(wall_seconds, 3),
        device_hours=round(wall_seconds / 3600 * num_devices(plan.device), 6),
        peak_bytes=peak_bytes(plan.device),
    ).sealed()


def _not_finite(outcome: Outcome) -> dict[str, float]:
    """Name to value of every figure that is not finite: metrics first, then what is told beside them."""
    figures = {name: metric.value for name, metric in outcome.metrics.items()}
    for reference, values in outcome.references.items():
        figures |= {f"{name} of {reference}": value for name, value in values.items()}
    figures |= {f"inflated {name}": value for name, value in outcome.inflated.items()}
    figures |= {f"choice {name}": value for name, value in outcome.choices.items() if isinstance(value, float)}
    return {name: value for name, value in figures.items() if not math.isfinite(value)}


@functools.cache
def git_state() -> tuple[str, bool]:
    """(commit, are there uncommitted changes) of this code; ("unknown", False) outside a git checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of what can change a result; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    wanted = {name: (name,) for name in PACKAGES} | ALTERNATIVES
    for name, distributions in wanted.items():
        for distribution in distributions:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(distribution)
                break
    return versions


def device_name(device: str) -> str:
    """E.g. ``"NVIDIA H200"``, or ``"cpu x86_64, 1 thread"``."""
    if device == "cuda":
        import torch

        return f"{torch.cuda.get_device_name()} x {torch.cuda.device_count()}"
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    return f"cpu {platform.machine()}, {threads} thread{'' if threads == '1' else 's'}"


def num_devices(device: str) -> int:
    """GPUs that the trial had, or 1 on CPU."""
    if device != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


def peak_bytes(device: str) -> int:
    """Peak memory: allocated on the first GPU, or resident on CPU."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
