"""One segmentation trial: protocol, data, weights, training, test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.files import sha256_file
from transfer.compat import prepare_mmseg
from transfer.record import Metric
from transfer.segmentation.config import dump, resolve_config
from transfer.segmentation.data import check_counts, point_to_data
from transfer.segmentation.resume import iteration_of, last_checkpoint
from transfer.segmentation.weights import check_weights
from transfer.trial import Outcome, Trial

if TYPE_CHECKING:
    from transfer.convert.prepare import Converted

__all__ = ["resolve_config", "run"]


def run(trial: Trial) -> Outcome:
    """Trains from the trial's weights and tests once, after the last iteration.

    The same trial gives the same metrics bit for bit on CPU with the same number of threads; data order, neck, head
    and dropout depend on the seed alone, so that two initialisations with one seed are a pair.

    Raises:
        UserError: bad overrides, missing data, or weights that do not fit the model.
    """
    prepare_mmseg()
    from transfer.convert.prepare import converted_weights
    from transfer.segmentation.floor import all_background, named, test_dataset
    from transfer.segmentation.runner import build_runner

    config, difference = resolve_config(trial.benchmark.config_path, trial.overrides)
    resolved = dump(config)
    point_to_data(config, trial.data)
    converted = converted_weights(trial, "mmseg")
    check_weights(converted, config)

    checkpoint = last_checkpoint(trial.work_dir, _identity(trial, resolved, converted))
    runner = build_runner(config, trial, weights=converted.path, checkpoint=checkpoint)
    check_counts(config, num_train=len(runner.train_dataloader.dataset), num_test=len(test_dataset(runner)))
    reference = all_background(runner)
    if checkpoint is None or iteration_of(checkpoint) < config.train_cfg.max_iters:
        runner.train()
    metrics = named(runner.test())
    return Outcome(
        metrics={name: Metric(value=value) for name, value in metrics.items()},
        references={"all background": reference},
        resolved_config=resolved,
        protocol_difference=difference,
        arch=converted.arch,
        source_format=converted.source_format,
        proof=converted.proof,
    )


def _identity(trial: Trial, resolved: str, converted: Converted) -> str:
    """Text of all that determines the trial's result."""
    weights = sha256_file(converted.path)
    return f"{resolved}\nseed {trial.seed}\nweights {weights}\ndata {trial.data}\ndevice {trial.device}\n"
