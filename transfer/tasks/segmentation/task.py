"""One segmentation trial: protocol, data, weights, training, test."""

from __future__ import annotations

import torch

from common.errors import UserError
from common.files import sha256_file
from transfer.compat import prepare_mmseg
from transfer.processes import launch
from transfer.protocol_lock import batch_note
from transfer.record import Metric
from transfer.tasks.segmentation.batch import parts_of_batch
from transfer.tasks.segmentation.config import dump, judged, resolve_config
from transfer.tasks.segmentation.data import point_to_data
from transfer.tasks.segmentation.resume import last_checkpoint
from transfer.tasks.segmentation.weights import check_weights
from transfer.trial import Outcome, Trial
from transfer.weights.of_trial import Converted, converted_weights

__all__ = ["resolve_config", "run"]


def run(trial: Trial) -> Outcome:
    """Trains from the trial's weights, on all visible GPUs or on CPU, and tests once, after the last iteration.

    The same trial gives the same metrics bit for bit on CPU with the same number of threads; data order, neck, head
    and dropout depend on the seed alone, so that two initialisations with one seed are a pair.

    Raises:
        UserError: bad overrides, missing data, weights that do not fit the model, or a GPU that is too small for one
            image.
    """
    num_processes = torch.cuda.device_count() if trial.device == "cuda" else 1
    return run_in_processes(trial, num_processes)


def run_in_processes(trial: Trial, num_processes: int) -> Outcome:
    """:func:`run` on a given number of GPUs, or of CPU processes.

    Raises:
        UserError: as :func:`run`, or the batch cannot be divided among the processes.
    """
    prepare_mmseg()
    from transfer.tasks.segmentation.runner import Job, train_and_test

    config, difference = resolve_config(trial.benchmark.config_path, trial.overrides, trial.rescale)
    resolved = dump(config)
    batch_size = config.train_dataloader.batch_size
    _check_divisible(batch_size, num_processes)
    parts = parts_of_batch(config, device=trial.device, num_processes=num_processes)
    point_to_data(config, trial.data)
    converted = converted_weights(trial, "mmseg")
    check_weights(converted, config)
    job = Job(
        config=config,
        weights=converted.path,
        checkpoint=last_checkpoint(trial.work_dir, _identity(trial, resolved, converted, parts)),
        name=f"{trial.benchmark.name}-seed{trial.seed}",
        seed=trial.seed,
        device=trial.device,
        work_dir=trial.work_dir,
        parts=parts,
    )
    tested = launch(train_and_test, job, num_processes=num_processes, device=trial.device, progress=trial.progress)
    if trial.device == "cpu" and num_processes > 1:
        difference = [*difference, "SyncBN: over all processes -> BN in each process (no CPU kernel)"]
    verdict = judged(config, trial.benchmark.config_path, difference)
    return Outcome(
        metrics={name: Metric(value=value) for name, value in tested.model.items()},
        references={"all background": tested.all_background},
        pictures=tested.pictures,
        resolved_config=resolved,
        protocol_difference=verdict.difference,
        standing=verdict.standing,
        batch=batch_note(batch_size, parts=parts),
        arch=converted.arch,
        source_format=converted.source_format,
        proof=converted.proof,
    )


def _check_divisible(batch_size: int, num_processes: int) -> None:
    if batch_size % num_processes:
        raise UserError(
            f"train_dataloader.batch_size={batch_size} cannot be divided among {num_processes} GPUs: "
            "show a number of GPUs that divides it (CUDA_VISIBLE_DEVICES)"
        )


def _identity(trial: Trial, resolved: str, converted: Converted, parts: int) -> str:
    """Text of all that determines the trial's result."""
    weights = sha256_file(converted.path)
    return (
        f"{resolved}\nseed {trial.seed}\nweights {weights}\ndata {trial.data}\ndevice {trial.device}\nparts {parts}\n"
    )
