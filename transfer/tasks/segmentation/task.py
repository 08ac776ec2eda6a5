"""One segmentation trial: protocol, data, weights, training, test."""

from __future__ import annotations

from pathlib import Path

from transfer.compat import prepare_mmseg
from transfer.processes import launch
from transfer.protocol_lock import batch_note, check_divisible, with_norm_batch
from transfer.record import Metric
from transfer.record_bounds import direction_of
from transfer.tasks.segmentation.any_arch import fitting_weights
from transfer.tasks.segmentation.checks import check_room, check_weights, point_to_data
from transfer.tasks.segmentation.config import dump, judged, protocol_of, resolve_config
from transfer.trial import Outcome, Trial
from twist_common.files import sha256_file, write_text
from twist_common.gpus import num_processes

__all__ = ["resolve_config", "run"]

IDENTITY = "identity.txt"


def run(trial: Trial) -> Outcome:
    """Trains from the trial's weights, on all visible GPUs or on CPU, and tests once, after the last iteration.

    The same trial gives the same metrics bit for bit on CPU with the same number of threads; data order, neck, head
    and dropout depend on the seed alone, so that two initialisations with one seed are a pair.

    Raises:
        UserError: bad overrides, missing data, weights that do not fit the model, a GPU that is too small for one
            image, or a shared memory that is too small for batches.
    """
    return run_in_processes(trial, num_processes(trial.device))


def run_in_processes(trial: Trial, num_processes: int) -> Outcome:
    """:func:`run` on a given number of GPUs, or of CPU processes.

    Raises:
        UserError: as :func:`run`, or the batch cannot be divided among the processes.
    """
    prepare_mmseg()
    from transfer.tasks.network_cost import parts_of_batch
    from transfer.tasks.segmentation.accumulation import memory_of
    from transfer.tasks.segmentation.runner import SegmentationJob, train_and_test

    protocol = protocol_of(trial)
    config, difference = resolve_config(protocol, trial.overrides, trial.rescale)
    check_divisible("train_dataloader.batch_size", config.train_dataloader.batch_size, num_processes)
    converted = fitting_weights(config, trial)
    resolved = dump(config)
    memory = memory_of(config)
    parts = parts_of_batch(memory, device=trial.device, num_processes=num_processes)
    check_room(config, num_processes=num_processes, parts=parts)
    point_to_data(config, trial.data)
    check_weights(converted, config)
    identity = (
        f"{resolved}\nversion {trial.benchmark.protocol_version}\nseed {trial.seed}\n"
        f"weights {sha256_file(converted.path)}\ndata {trial.data}\ndevice {trial.device}\nparts {parts}\n"
    )
    job = SegmentationJob(
        config=config,
        weights=converted.path,
        checkpoint=last_checkpoint(trial.work_dir, identity),
        name=f"{trial.benchmark.name}-seed{trial.seed}",
        seed=trial.seed,
        device=trial.device,
        work_dir=trial.work_dir,
        parts=parts,
    )
    result = launch(train_and_test, job, num_processes=num_processes, device=trial.device, progress=trial.progress)
    if trial.device == "cpu" and num_processes > 1:
        difference = [*difference, "SyncBN: over all processes -> BN in each process (no CPU kernel)"]
    remarks = [config.own.data, *config.own.remarks] if "own" in config else []
    if result.absent:
        remarks.append(f"no test mask has a pixel of {', '.join(result.absent)}: IoU is over the other classes")
    batch_size, has_batch_norm = memory.batch_size, memory.has_batch_norm
    verdict = judged(config, protocol, difference)
    verdict = with_norm_batch(verdict, batch_size, parts=parts, has_batch_norm=has_batch_norm)
    norm_processes = num_processes if trial.device == "cpu" else 1  # that normalise each by itself
    return Outcome(
        metrics={name: Metric(value=value, direction=direction_of(name)) for name, value in result.scores.items()},
        references=result.references,
        pictures=result.pictures,
        outcomes=result.outcomes,
        data_remarks=remarks,
        resolved_config=resolved,
        protocol_difference=verdict.difference,
        standing=verdict.standing,
        batch=batch_note(batch_size, parts=parts, has_batch_norm=has_batch_norm),
        norm_batch=batch_size // parts // norm_processes if has_batch_norm else None,
        arch=converted.arch,
        source_format=converted.source_format,
        proof=converted.proof,
    )


def last_checkpoint(work_dir: Path, identity: str) -> Path | None:
    """The newest checkpoint that this very trial left in ``work_dir``, or None.

    What another trial left (other settings, weights, data or seed) is removed.

    Args:
        identity: text of all that determines the trial's result.
    """
    mark, checkpoints = work_dir / IDENTITY, list(work_dir.glob("iter_*.pth"))  # each is whole
    if not mark.is_file() or mark.read_text(encoding="utf-8") != identity:
        for stale in checkpoints:
            stale.unlink()
        write_text(mark, identity)
        return None
    return max(checkpoints, key=lambda path: int(path.stem.removeprefix("iter_")), default=None)
