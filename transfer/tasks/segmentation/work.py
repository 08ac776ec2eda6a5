"""What a segmentation trial computes, read from its protocol without importing MMSegmentation or torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from transfer.record import TrialRecord
from transfer.rows import Benchmark
from transfer.tasks.costs import COSTS
from transfer.tasks.segmentation.config import dump, resolve_config
from transfer.trial import TrialSettings
from transfer.work import TRAINING, Phase, Work, variant

# Settings that change what an image costs.
PER_IMAGE = ("model.", "by_kind.", "train_dataloader.dataset", "test_dataloader.dataset")


def planned_work(trial: TrialSettings, arch: str | None) -> Work:
    """See :meth:`transfer.task.Task.planned_work`.

    Raises:
        UserError: an override that MMSegmentation's config does not know.
    """
    config, _ = resolve_config(trial.benchmark.config_path, trial.overrides, trial.rescale)
    return _work(json.loads(dump(config)), trial.benchmark, trial.overrides, arch)


def recorded_work(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :meth:`transfer.task.Task.recorded_work`."""
    return _work(json.loads(record.resolved_config), benchmark, record.protocol_difference, record.weights.arch)


def _work(settings: Mapping[str, Any], benchmark: Benchmark, changes: Sequence[str], arch: str | None) -> Work:
    changed = variant(changes, PER_IMAGE)
    counted = None if changed else COSTS.get(benchmark.name)
    train_cost, test_cost = (counted.train, counted.test) if counted else (None, None)
    iterations, batch_size = settings["train_cfg"]["max_iters"], settings["train_dataloader"]["batch_size"]
    phases = [Phase(what=TRAINING, num_images=iterations * batch_size, steps=iterations, trains=True, cost=train_cost)]
    num_test = (settings.get("num_images") or benchmark.dataset.counts).get("test")
    if num_test is not None:
        steps = math.ceil(num_test / settings["test_dataloader"]["batch_size"])
        phases.append(Phase(what="testing", num_images=num_test, steps=steps, trains=False, cost=test_cost))
    disk = {}
    checkpoint = settings["default_hooks"].get("checkpoint")
    if counted and checkpoint:
        adam = settings["optim_wrapper"]["optimizer"]["type"] != "SGD"
        num_kept = min(checkpoint["max_keep_ckpts"], math.ceil(iterations / checkpoint["interval"]))
        disk["checkpoints"] = num_kept * counted.checkpoint_bytes(adam=adam)
    backbone = settings["model"]["backbone"]
    return Work(
        arch=arch if backbone["type"] == "AnyBackbone" else f"resnet{backbone['depth']}",
        phases=tuple(phases),
        variant=changed,
        uncounted=() if num_test is not None else ("the test: its number of images is not known",),
        notes=("warm-up",) if len(settings["param_scheduler"]) > 1 else (),
        disk=disk,
    )
