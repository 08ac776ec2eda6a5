"""Do all weights suit all benchmarks? Asked before the first trial, so that no answer comes after hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from common.errors import UserError
from transfer.benchmarks import DETECTION, SEGMENTATION
from transfer.trial import RANDOM_PREFIX, Trial
from transfer.trials.plan import TrialPlan
from transfer.trials.process import call, fork_server
from transfer.trials.run_one import remove_empty_folders, trial_of
from transfer.weights.backbone import architecture


def check_weights(plans: Sequence[TrialPlan]) -> None:
    """Reads every checkpoint, and converts it for the frameworks that it is to be used in, where trials will find it.

    In a process that is forked from the trials' own server: frameworks are imported once. Weights whose trials all have
    records are not looked at.

    Raises:
        UserError: a checkpoint is damaged, unknown or ambiguous, has no proven conversion, or does not fit a benchmark.
    """
    unfinished = [plan for plan in plans if not plan.finished_record()]
    firsts = {(plan.benchmark.name, plan.weights): plan for plan in reversed(unfinished)}
    for _, weights in firsts:
        if weights.is_random:
            architecture.get(weights.source.removeprefix(RANDOM_PREFIX))
    opened = [plan for plan in firsts.values() if plan.benchmark.task in _CHECKS or not plan.weights.is_random]
    if opened:
        call(fork_server(unfinished), _check_all, opened[::-1])


def _check_all(plans: Sequence[TrialPlan]) -> None:
    for plan in plans:
        try:
            _CHECKS.get(plan.benchmark.task, _check_read)(trial_of(plan))
        except UserError as error:
            remove_empty_folders(plan)
            raise UserError(f"{plan.benchmark.name} from {plan.weights.name}: {error}") from None


def _check_read(trial: Trial) -> None:
    from transfer.weights.of_trial import trial_backbone

    trial_backbone(trial)


def _check_detection(trial: Trial) -> None:
    from transfer.tasks.detection.config import resolve_config
    from transfer.tasks.detection.weights import check_fits
    from transfer.weights.of_trial import converted_weights

    check_fits(resolve_config(trial), converted_weights(trial, "detectron2"))


def _check_segmentation(trial: Trial) -> None:
    from transfer.tasks.segmentation import weights
    from transfer.tasks.segmentation.config import resolve_config
    from transfer.weights.of_trial import converted_weights

    config, _ = resolve_config(trial.benchmark.config_path, trial.overrides, trial.rescale)
    weights.check_weights(converted_weights(trial, "mmseg"), config)


_CHECKS: dict[str, Callable[[Trial], None]] = {DETECTION: _check_detection, SEGMENTATION: _check_segmentation}
