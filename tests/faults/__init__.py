"""A task that fails on demand, to see what the trial runner makes of it."""

from __future__ import annotations

from transfer.task import Task
from transfer.trial import Outcome, Trial


class Faulty(Task):
    preload = "tests.faults.preload"
    metrics = "score"
    picture_sides = ""

    def run(self, trial: Trial) -> Outcome:
        from tests.faults.task import run

        return run(trial)

    def check_settings(self, trial: Trial) -> None:
        """Any override is a wish."""

    def check_weights(self, trial: Trial) -> None:
        """It takes all of them."""


TASK = Faulty()
