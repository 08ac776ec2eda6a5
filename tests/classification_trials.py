"""Classification trials as tests run them: in this process, without plan and record."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import torch

from transfer import benchmarks
from transfer.tasks.classification import task, training
from transfer.trial import Trial, WeightsRef
from twist_common.background import BackgroundWriter
from twist_common.files import sha256_text


def _unheard(done: int, total: int, what: str) -> None:
    """Progress of which nobody is told."""


def make_trial(
    name: str,
    *overrides: str,
    data: Path,
    work_dir: Path,
    seed: int = 0,
    arch: str = "resnet18",
    labels: Path | None = None,
    progress: Callable[[int, int, str], None] = _unheard,
) -> Trial:
    """A trial of a benchmark from a random initialisation, on CPU."""
    source = f"random:{arch}"
    work_dir.mkdir(parents=True, exist_ok=True)
    return Trial(
        benchmark=benchmarks.get(name),
        weights=WeightsRef(name="random", source=source, sha256=sha256_text(source)),
        seed=seed,
        data=data,
        overrides=overrides,
        device="cpu",
        work_dir=work_dir,
        weights_dir=work_dir,
        progress=progress,
        labels=labels,
    )


def run_until_killed(trial: Trial, step: int, of: str = "") -> None:
    """Runs the trial in a process of its own, with a checkpoint a step, until SIGKILL strikes after so many steps.

    That process is spawned: a forked one cannot differentiate where this one's autograd has threads of its own.

    Args:
        of: how the name of what has these steps begins.
    """
    trial = dataclasses.replace(trial, progress=_unheard)  # which can be pickled
    process = multiprocessing.get_context("spawn").Process(target=_killed_at, args=(step, of, trial))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


class _Waits(BackgroundWriter):
    """So that the checkpoint of the step that the kill comes after is there."""

    def start(self, write: Callable[[], None]) -> None:
        super().start(write)
        self.wait()


def _killed_at(step: int, of: str, trial: Trial) -> None:
    torch.set_num_threads(1)
    training.INTERVAL_SECONDS, training.BackgroundWriter = 0.0, _Waits  # type: ignore[misc]

    def progress(done: int, total: int, what: str) -> None:
        if done == step and what.startswith(of):
            os.kill(os.getpid(), signal.SIGKILL)

    task.run(dataclasses.replace(trial, progress=progress))
