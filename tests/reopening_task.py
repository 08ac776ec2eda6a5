"""A classification task that breaks the rules: it looks at the test images a second time."""

from __future__ import annotations

from transfer.tasks.classification.datasets import open_splits
from transfer.trial import Outcome, Trial


def run(trial: Trial) -> Outcome:
    test = open_splits("digits", trial.data).test
    test.open()
    test.open("a second look")
    raise AssertionError("a second look was allowed")
