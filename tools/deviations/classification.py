"""Fine-tuning with a part of ImageNet's labels: the README's commands, and ``evaluate.py`` where they say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tools.deviations.rows import NOT_STATED, Setting, Side, fields_of
from transfer import benchmarks
from transfer.tasks.classification.protocol import load_protocol

NO_PROTOCOL = ("views.max_shift", "test_batch_size")  # of the digits alone; changes no figure


def ours(benchmark: str) -> Mapping[str, Any]:
    """Every field of the protocol by its name, dots between levels."""
    return dict(fields_of(load_protocol(benchmarks.get(benchmark), ())[0]))


def _settings(fraction: float, lr_backbone: float, epochs: int) -> tuple[Setting, ...]:
    return (
        Setting("labels_fraction", fraction, "commands"),
        Setting("lr_backbone", lr_backbone, "commands"),
        Setting("lr_head", 0.2, "commands"),
        Setting("epochs", epochs, "commands"),
        Setting("weight_decay", 0.0, "commands"),
        Setting("batch_size", 256, "evaluate"),
        Setting("cosine", "epoch", "evaluate"),
        Setting("warmup_steps", 0, "evaluate"),
        Setting("momentum", 0.9, "evaluate"),
        Setting("nesterov", False, "evaluate"),
        Setting("head_std", 0.01, "evaluate"),
        Setting("norm_batch", NOT_STATED, "evaluate", "a GPU's part of the batch with eight, as in the other commands"),
        Setting("precision", "fp32", "evaluate"),
        Setting("views.augment", "crop and flip", "evaluate"),
        Setting("views.min_scale", 0.08, "evaluate"),
        Setting("views.interpolation", "bilinear", "evaluate", "bilinear for ResNets, bicubic for ViTs"),
        Setting("views.size", 224, "evaluate"),
        Setting("views.resize", 256, "evaluate"),
    )


SIDES = tuple(
    Side(
        name=name,
        ours=partial(ours, name),
        settings=_settings(*values),
        no_protocol=NO_PROTOCOL,
    )
    for name, values in {
        "imagenet-1pct": (0.01, 0.04, 20),
        "imagenet-10pct": (0.1, 0.02, 20),
        "imagenet-100pct": (1, 0.01, 30),
    }.items()
)
