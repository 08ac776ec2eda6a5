"""The protocols as data: typed, overridable by name, and written out in full for the record."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from common import overrides
from transfer.rows import Benchmark


@dataclass(frozen=True, kw_only=True)
class LinearProtocol:
    """Logistic regression on frozen features as they are (:mod:`transfer.tasks.classification.logistic`).

    Attributes:
        labels_per_class: drawn from the training images by the trial's seed; None takes all of them.
        val_fraction: part of each class on which ``l2`` is chosen, drawn by the trial's seed, where the data set has no
            validation images of its own; None takes its row's. Then all labelled images are fitted.
        choose_by: the data set's main metric, or the loss, which is less noisy where few images are held out.
        l2_grid: candidates for the weight of half the squared norm beside the mean cross-entropy.
        tolerance: of the gradient's norm, in parts of that without any classifier.
        max_iter: L-BFGS iterations for one l2.
        resize, crop: pixels of the short side (bicubic) and of the center crop; None leaves images as they are.
        batch_size: of the feature extraction.
    """

    labels_per_class: int | None
    val_fraction: float | None
    choose_by: Literal["metric", "loss"]
    l2_grid: tuple[float, ...]
    tolerance: float
    max_iter: int
    resize: int | None
    crop: int | None
    batch_size: int


def load_protocol(benchmark: Benchmark, changes: Sequence[str]) -> tuple[Any, list[str]]:
    """The benchmark's protocol with the trial's overrides, and what these change.

    Args:
        benchmark: its config is a Python file that holds the protocol as ``CONFIG``.
        changes: ``"key=value"``, see :func:`common.overrides.apply`.

    Returns:
        The config's dataclass, and ``"key: protocol value -> value used"`` for each field that differs.

    Raises:
        UserError: an override names no field or has a value of the wrong type.
    """
    module = "configs." + benchmark.config.removesuffix(".py").replace("/", ".")
    protocol = importlib.import_module(module).CONFIG
    used = overrides.apply(protocol, changes)
    return used, differences(protocol, used)


def differences(protocol: Any, used: Any) -> list[str]:
    """``"key: protocol value -> value used"`` for each field of the dataclass that differs."""
    return [
        f"{field.name}: {getattr(protocol, field.name)} -> {getattr(used, field.name)}"
        for field in dataclasses.fields(protocol)
        if getattr(protocol, field.name) != getattr(used, field.name)
    ]


def resolved(benchmark: Benchmark, protocol: Any, **facts: Any) -> str:
    """The protocol as JSON with sorted keys; equal protocols have equal text.

    Args:
        facts: what the benchmark fixes beside the fields, e.g. its data set.
    """
    content = {
        "benchmark": benchmark.name,
        "protocol": type(protocol).__name__,
        **facts,
        **dataclasses.asdict(protocol),
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"
