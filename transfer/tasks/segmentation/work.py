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
from transfer.work import TRAINING, Asked, Phase, Work, variant

# Settings that change what an image costs.
PER_IMAGE = ("model.", "train_dataloader.dataset", "test_dataloader.dataset")
VIT_ARCHS = {384: "deit_small", 768: "vit_base"}  # by width


def planned(asked: Asked) -> Work:
    """See :meth:`transfer.task.Task.planned`.

    Raises:
        UserError: an override that MMSegmentation's config does not know.
    """
    config, _ = resolve_config(asked.benchmark.config_path, asked.overrides, asked.rescale)
    return _work(json.loads(dump(config)), asked.benchmark, asked.overrides)


def recorded(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :meth:`transfer.task.Task.recorded`."""
    return _work(json.loads(record.resolved_config), benchmark, record.protocol_difference)


def _work(settings: Mapping[str, Any], benchmark: Benchmark, changes: Sequence[str]) -> Work:
    changed = variant(changes, PER_IMAGE)
    counted = None if changed else COSTS.get(benchmark.name)
    iterations, batch_size = settings["train_cfg"]["max_iters"], settings["train_dataloader"]["batch_size"]
    phases = [
        Phase(
            what=TRAINING,
            num_images=iterations * batch_size,
            steps=iterations,
            trains=True,
            cost=counted.train if counted else None,
        )
    ]
    num_test = _num_test_images(settings, benchmark)
    if num_test is not None:
        phases.append(
            Phase(
                what="testing",
                num_images=num_test,
                steps=math.ceil(num_test / settings["test_dataloader"]["batch_size"]),
                trains=False,
                cost=counted.test if counted else None,
            )
        )
    disk = {}
    checkpoint = settings["default_hooks"].get("checkpoint")
    if counted and checkpoint:
        adam = settings["optim_wrapper"]["optimizer"]["type"] != "SGD"
        num_kept = min(checkpoint["max_keep_ckpts"], math.ceil(iterations / checkpoint["interval"]))
        disk["checkpoints"] = num_kept * counted.checkpoint_bytes(adam=adam)
    return Work(
        arch=_arch(settings["model"]["backbone"]),
        phases=tuple(phases),
        variant=changed,
        uncounted=() if num_test is not None else ("the test: its number of images is not known",),
        notes=("warm-up",) if len(settings["param_scheduler"]) > 1 else (),
        disk=disk,
    )


def _arch(backbone: Mapping[str, Any]) -> str | None:
    if backbone["type"] == "ResNet":
        return f"resnet{backbone['depth']}"
    return VIT_ARCHS.get(backbone["embed_dims"])


def _num_test_images(settings: Mapping[str, Any], benchmark: Benchmark) -> int | None:
    if settings.get("num_images"):
        return int(settings["num_images"]["test"])
    return benchmark.dataset.counts.get("test")
