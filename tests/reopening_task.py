"""A classification task that breaks the rules: it looks at the test images a second time."""

from __future__ import annotations

from transfer.tasks.classification import Classification
from transfer.tasks.classification.datasets import splits_of
from transfer.trial import Outcome, Trial


class Reopening(Classification):
    def run(self, trial: Trial) -> Outcome:
        test = splits_of(trial).test
        test.open()
        test.open("a second look")
        raise AssertionError("a second look was allowed")


TASK = Reopening()
