"""What holds of the outcomes of every trial."""

from __future__ import annotations

from collections.abc import Collection

from transfer.outcomes.file import not_following, read_outcomes
from transfer.trial import Outcome


def assert_metrics_follow(outcome: Outcome, *, but: Collection[str] = ()) -> None:
    """Every metric but those named is computed anew from the outcomes of the images alone."""
    outcomes = read_outcomes(outcome.outcomes, "the trial")
    metrics = {name: metric.value for name, metric in outcome.metrics.items()}
    assert outcomes.metrics().keys() == metrics.keys() - set(but)
    assert not_following(metrics, outcomes) == []
