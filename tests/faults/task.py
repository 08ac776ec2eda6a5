"""Fails as the overrides say: ``seed1=raise`` makes the trial with seed 1 raise.

``steps=20``, or ``FAULTY_STEPS=20`` in the environment, makes each trial take that many steps of 20 ms, and remember
how far it was. ``starts=PATH`` makes it add its seed to that file when it starts. A ``slow`` trial waits until there is
a file ``go`` in the folder of runs.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from transfer.record import Metric
from transfer.trial import Outcome, Trial
from twist_common.errors import UserError
from twist_common.files import atomic_path, write_text

STEP_SECONDS = 0.02


def run(trial: Trial) -> Outcome:
    wishes = dict(override.split("=") for override in trial.overrides)
    wish = wishes.get(f"seed{trial.seed}", "succeed")
    if "starts" in wishes:
        with Path(wishes["starts"]).open("a") as file:
            file.write(f"{trial.seed}\n")
    print(f"trial with seed {trial.seed}")
    trial.progress(1, 2, "training")
    (trial.work_dir / "scratch").write_text("something")
    value = 10.0 + trial.seed
    if wish.startswith("slow"):
        _wait_for(trial.weights_dir.parents[2] / "go")
    if wish == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/checkpoint.pth")
    if wish in ("raise", "slow-raise"):
        raise RuntimeError("the loss exploded")
    if wish == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == "refuse":
        raise UserError("annotation file /nowhere.json is missing: lay it there")
    if wish == "hoard":
        _hoard()
    if wish == "sleep":
        time.sleep(600)
    if wish == "nan":
        value = float("nan")
    pictures = _train(trial, int(wishes.get("steps", os.environ.get("FAULTY_STEPS", "0"))))
    return Outcome(
        metrics={"score": Metric(value=value)},
        pictures=pictures,
        outcomes=b"what each image gave",
        resolved_config=f"threads: {os.environ.get('OMP_NUM_THREADS')}",
        arch="none",
        source_format="none",
    )


def _hoard() -> None:
    """Takes memory until the process is killed for it, or 4 GB are reached."""
    taken = []
    for _ in range(40):
        taken.append(b"x" * 100_000_000)
        time.sleep(0.2)


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(STEP_SECONDS)


def _train(trial: Trial, num_steps: int) -> list[Path]:
    """Weights that trials share, steps that resume where a killed trial was, then a picture."""
    if not num_steps:
        return []
    with atomic_path(trial.weights_dir / "weights.txt") as temporary:
        temporary.write_text(trial.weights.name)
        time.sleep(STEP_SECONDS)
    checkpoint, picture = trial.work_dir / "step.txt", trial.work_dir / "pictures" / "seed.txt"
    done = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    for step in range(done + 1, num_steps + 1):
        time.sleep(STEP_SECONDS)
        write_text(checkpoint, str(step))
        trial.progress(step, num_steps, "training")
    write_text(picture, f"seed {trial.seed}")
    return [picture]
