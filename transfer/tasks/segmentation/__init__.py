"""Semantic segmentation and monocular depth with MMSegmentation. Importing this imports no framework."""

from __future__ import annotations

from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.task import Foreseen, Task
from transfer.tasks.segmentation import work
from transfer.trial import Outcome, Trial, TrialSettings
from transfer.work import ModelCost, Work


class Segmentation(Task):
    """FCN trials on FPN maps, and linear probes."""

    preload = "transfer.tasks.segmentation.preload"
    metrics = "mIoU, mAcc, aAcc; of depth RMSE in cm, AbsRel, δ1"
    picture_sides = "image left, annotation in the middle, prediction right"
    target = "mmseg"
    uses_all_gpus = True
    precision = "fp32, convolutions in TF32 where the GPU has it"  # PyTorch's default, as in the frameworks
    precision_key = "optim_wrapper.type"

    def run(self, trial: Trial) -> Outcome:
        from transfer.tasks.segmentation.task import run

        return run(trial)

    def check_settings(self, trial: Trial) -> None:
        from transfer.tasks.segmentation.config import protocol_of, resolve_config

        resolve_config(protocol_of(trial), trial.overrides, trial.rescale)

    def check_weights(self, trial: Trial) -> None:
        from transfer.tasks.segmentation.any_arch import fitting_weights
        from transfer.tasks.segmentation.checks import check_weights
        from transfer.tasks.segmentation.config import protocol_of, resolve_config

        config, _ = resolve_config(protocol_of(trial), trial.overrides, trial.rescale)
        check_weights(fitting_weights(config, trial), config)

    def how_to_fit(self, benchmark: Benchmark, arch: str) -> str:
        return "set model.backbone's depth and what reads its features (off protocol)"

    def foresee(self, trial: Trial) -> Foreseen:
        from transfer.tasks.segmentation.config import judged, protocol_of, resolve_config, schedule

        protocol = protocol_of(trial)
        config, difference = resolve_config(protocol, trial.overrides, trial.rescale)
        verdict = judged(config, protocol, difference)
        return Foreseen(verdict=verdict, protocol=schedule(protocol), used=schedule(config))

    def planned_work(self, settings: TrialSettings, arch: str | None) -> Work:
        return work.planned_work(settings, arch)

    def recorded_work(self, record: TrialRecord, benchmark: Benchmark) -> Work:
        return work.recorded_work(record, benchmark)

    def undeclared_difference(self, record: TrialRecord, benchmark: Benchmark) -> list[str]:
        from transfer.tasks.segmentation.any_arch import undeclared_difference

        return undeclared_difference(record, benchmark)

    def shortened(self, work: Work, iterations: int) -> tuple[str, ...]:
        """A warm-up longer than the probe is cut with it."""
        if "warm-up" not in work.notes:
            return (f"train_cfg.max_iters={iterations}",)
        return (f"train_cfg.max_iters={iterations}", "param_scheduler.0.begin=1", "param_scheduler.1.end=1")

    def count(self, benchmark: Benchmark, arch: str | None = None) -> ModelCost:
        from transfer.tasks.segmentation.counting import count

        return count(benchmark, arch)


TASK = Segmentation()
