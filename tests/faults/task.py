"""Fails as the overrides say: ``seed1=raise`` makes the trial with seed 1 raise."""

from __future__ import annotations

import os
import signal
import time

from common.errors import UserError
from transfer.record import Metric
from transfer.trial import Outcome, Trial


def run(trial: Trial) -> Outcome:
    wish = dict(override.split("=") for override in trial.overrides).get(f"seed{trial.seed}", "succeed")
    trial.progress(1, 2, "training")
    (trial.work_dir / "scratch").write_text("something")
    value = 10.0 + trial.seed
    if wish == "raise":
        raise RuntimeError("the loss exploded")
    if wish == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == "refuse":
        raise UserError("annotation file /nowhere.json is missing: lay it there")
    if wish == "sleep":
        time.sleep(600)
    if wish == "nan":
        value = float("nan")
    return Outcome(
        metrics={"score": Metric(value=value)},
        resolved_config=f"threads: {os.environ.get('OMP_NUM_THREADS')}",
        arch="none",
        source_format="none",
    )
