"""A detection trial: converted weights into Detectron2, trained and tested under a named protocol."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.utils import comm

from transfer.processes import Report, launch
from transfer.protocol_lock import batch_note, with_norm_batch
from transfer.record import Metric
from transfer.tasks.detection.accumulation import memory_of
from transfer.tasks.detection.config import judged, protocol_of, resolve_config, resolved_text
from transfer.tasks.detection.data import check_before_training, check_room, load_train_dicts, remarks_on_data
from transfer.tasks.detection.evaluate import evaluate
from transfer.tasks.detection.model import seeded_model
from transfer.tasks.detection.pictures import draw_pictures
from transfer.tasks.detection.trainer import train
from transfer.tasks.detection.weights import fitted, load_backbone_weights
from transfer.tasks.network_cost import parts_of_batch
from transfer.trial import Outcome, Trial
from twist_common import gpus
from twist_common.files import sha256_text

__all__ = ["resolve_config", "run"]

LOG_NAME = "log.txt"
PICTURES = "pictures"


@dataclass(frozen=True, kw_only=True)
class DetectionJob:
    """What each process of a trial needs to know; can be pickled, as a trial's progress cannot.

    Attributes:
        fingerprint: stands for all that determines the trained model.
        parts: into how many parts each process divides its share of the batch.
    """

    cfg: CfgNode
    weights: Path
    data: Path
    seed: int
    work_dir: Path
    fingerprint: str
    parts: int = 1


def run(trial: Trial) -> Outcome:
    """Trains and tests one model, on all visible GPUs or on CPU.

    Raises:
        UserError: bad overrides, missing or broken data, weights that do not fit the protocol's model, a GPU that is
            too small for one image, a shared memory that is too small for batches.
        NothingDetectedError: the trained model detects nothing.
        FloatingPointError: the loss became infinite or NaN.
    """
    if threads := os.environ.get("OMP_NUM_THREADS"):  # the process may be forked from one with other settings
        torch.set_num_threads(int(threads))
    cfg = resolve_config(trial)
    num_processes = gpus.num_processes(trial.device)
    check_before_training(cfg, trial.data, num_processes)
    remarks = remarks_on_data(cfg, trial.data)  # else a fault in them is found after hours of training
    verdict = judged(cfg, protocol_of(trial))
    cfg, converted = fitted(cfg, trial)
    memory = memory_of(cfg)
    parts = parts_of_batch(memory, device=trial.device, num_processes=num_processes)
    batch_size, has_batch_norm = memory.batch_size, memory.has_batch_norm
    verdict = with_norm_batch(verdict, batch_size, parts=parts, has_batch_norm=has_batch_norm)
    check_room(cfg, num_processes=num_processes, parts=parts)
    resolved = resolved_text(cfg)

    identity = (
        f"{resolved}version {trial.benchmark.protocol_version} seed {trial.seed}\n"
        f"weights {trial.weights.sha256} {trial.weights.taken}\ndata {trial.data}\nparts {parts}\n"
    )
    job = DetectionJob(
        cfg=cfg,
        weights=converted.path,
        data=trial.data,
        seed=trial.seed,
        work_dir=trial.work_dir,
        fingerprint=sha256_text(identity),
        parts=parts,
    )
    metrics, outcomes, pictures = launch(
        train_and_test, job, num_processes=num_processes, device=trial.device, progress=trial.progress
    )
    return Outcome(
        metrics={name: Metric(value=value) for name, value in metrics.items()},
        pictures=pictures,
        outcomes=outcomes,
        resolved_config=resolved,
        protocol_difference=verdict.difference,
        standing=verdict.standing,
        batch=batch_note(batch_size, parts=parts, has_batch_norm=has_batch_norm),
        norm_batch=batch_size // parts if has_batch_norm else None,
        data_remarks=remarks,
        arch=converted.arch,
        source_format=converted.source_format,
        proof=converted.proof,
    )


def train_and_test(job: DetectionJob, report: Report) -> tuple[dict[str, float], bytes, list[Path]]:
    """The trial itself, called in each of its processes.

    Returns:
        Metrics in percent, and pictures below ``job.work_dir``; both empty in processes other than the main one.
    """
    torch.backends.cudnn.benchmark = job.cfg.CUDNN_BENCHMARK
    if dist.is_initialized():  # all on one machine: Detectron2's local group is the whole one
        comm._LOCAL_PROCESS_GROUP = dist.group.WORLD
    with _detectron2_log(job.work_dir / LOG_NAME):
        model = seeded_model(job.cfg, job.seed)
        load_backbone_weights(model, job.weights)
        train(
            job.cfg,
            model,
            load_train_dicts(job.cfg, job.data),
            seed=job.seed,
            work_dir=job.work_dir,
            fingerprint=job.fingerprint,
            progress=lambda done, total: report(done, total, "training"),
            parts=job.parts,
        )
        metrics, outcomes = evaluate(
            job.cfg, model, job.data, progress=lambda done, total: report(done, total, "testing")
        )
        pictures = draw_pictures(job.cfg, model, job.data, job.work_dir / PICTURES) if comm.is_main_process() else []
        return metrics, outcomes, pictures


@contextlib.contextmanager
def _detectron2_log(path: Path) -> Iterator[None]:
    """Detectron2's and fvcore's loggers write to a file, in the main process, and nowhere else."""
    handler: logging.Handler = logging.FileHandler(path) if comm.is_main_process() else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        handler.close()
