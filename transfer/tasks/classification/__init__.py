"""Classification: linear on frozen features, by SGD heads, fine-tuned. Importing this imports no torch."""

from __future__ import annotations

from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.task import Task
from transfer.trial import Outcome, Trial, TrialSettings
from transfer.work import Work


class Classification(Task):
    """Trials on labelled images; the protocol says which procedure is run."""

    preload = "transfer.tasks.classification.preload"
    metrics = "top-1, top-5; mean per class or 11-point mAP where the data set is scored so"
    picture_sides = "truth left, prediction right"

    def run(self, trial: Trial) -> Outcome:
        from transfer.tasks.classification.task import run

        return run(trial)

    def check_settings(self, trial: Trial) -> None:
        from transfer.tasks.classification.protocol import load_protocol

        load_protocol(trial.benchmark, trial.overrides)

    def check_weights(self, trial: Trial) -> None:
        from transfer.weights.of_trial import trial_backbone

        trial_backbone(trial)

    def planned_work(self, settings: TrialSettings, arch: str | None) -> Work:
        from transfer.tasks.classification.work import planned_work

        return planned_work(settings, arch)

    def recorded_work(self, record: TrialRecord, benchmark: Benchmark) -> Work:
        from transfer.tasks.classification.work import recorded_work

        return recorded_work(record, benchmark)

    def undeclared_difference(self, record: TrialRecord, benchmark: Benchmark) -> list[str]:
        from transfer.tasks.classification.protocol import undeclared_difference

        return undeclared_difference(record, benchmark)


TASK = Classification()
