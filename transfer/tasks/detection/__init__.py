"""Detection and instance segmentation with Detectron2.

Once any module of this package has been imported, in whichever process, Detectron2 can be imported too. This module
itself imports no framework.
"""

from __future__ import annotations

from transfer.compat import prepare_detectron2
from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.task import Foreseen, Task
from transfer.tasks.detection import work
from transfer.trial import Outcome, Trial, TrialSettings
from transfer.work import ModelCost, Work

prepare_detectron2()


class Detection(Task):
    """Faster and Mask R-CNN trials."""

    preload = "transfer.tasks.detection.preload"
    metrics = "AP, AP50, AP75 of boxes (COCO: and of masks)"
    picture_sides = "annotated objects left, as many detections right, best first, with their scores"
    target = "detectron2"
    uses_all_gpus = True
    precision = "fp32, convolutions in TF32 where the GPU has it"  # PyTorch's default, as in the frameworks
    precision_key = "SOLVER.AMP.ENABLED"

    def run(self, trial: Trial) -> Outcome:
        from transfer.tasks.detection.task import run

        return run(trial)

    def check_settings(self, trial: Trial) -> None:
        from transfer.tasks.detection.config import resolve_config

        resolve_config(trial)

    def check_weights(self, trial: Trial) -> None:
        from transfer.tasks.detection.config import resolve_config
        from transfer.tasks.detection.weights import fitted

        fitted(resolve_config(trial), trial)

    def how_to_fit(self, benchmark: Benchmark, arch: str) -> str:
        return f"add {' '.join(work.settings_for(arch))} to run it off protocol"

    def foresee(self, trial: Trial) -> Foreseen:
        from transfer.tasks.detection.config import judged, protocol_of, resolve_config, schedule

        cfg, protocol = resolve_config(trial), protocol_of(trial)
        return Foreseen(verdict=judged(cfg, protocol), protocol=schedule(protocol), used=schedule(cfg))

    def planned_work(self, settings: TrialSettings, arch: str | None) -> Work:
        return work.planned_work(settings, arch)

    def recorded_work(self, record: TrialRecord, benchmark: Benchmark) -> Work:
        return work.recorded_work(record, benchmark)

    def undeclared_difference(self, record: TrialRecord, benchmark: Benchmark) -> list[str]:
        from transfer.tasks.detection.config import undeclared_difference

        return undeclared_difference(record, benchmark)

    def shortened(self, work: Work, iterations: int) -> tuple[str, ...]:
        return (f"SOLVER.MAX_ITER={iterations}", "SOLVER.STEPS=()")

    def count(self, benchmark: Benchmark, arch: str | None = None) -> ModelCost:
        from transfer.tasks.detection.counting import count

        return count(benchmark, arch)


TASK = Detection()
