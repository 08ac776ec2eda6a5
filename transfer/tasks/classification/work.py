"""What a classification or clustering trial computes, read from its protocol. Imports no torch.

A protocol that is not described here is planned from recorded runs of its own benchmark, or from a probe.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from transfer.record import TrialRecord
from transfer.rows import Benchmark, LabelledDataset
from transfer.tasks.classification.protocol import load_protocol, num_parts
from transfer.tasks.costs import NUM_FEATURES
from transfer.trial import TrialSettings
from transfer.weights.backbone import architecture
from transfer.work import BackbonePass, NetworkMemory, Phase, StepMemory, Work

ROUNDED_UP = 1.5  # what is counted of a network, for what exists for a moment only
STATE_BYTES = 3 * 4  # a trained parameter with its gradient and its momentum
PIXEL_BYTES = 3 * 4  # an image on the device
TRAINED = ("FinetuneProtocol", "GridProtocol")  # that train the whole network


def planned_work(trial: TrialSettings, arch: str | None) -> Work:
    """See :meth:`transfer.task.Task.planned_work`.

    Raises:
        UserError: an override that the protocol does not know.
    """
    protocol, _ = load_protocol(trial.benchmark, trial.overrides)
    return _work(protocol, trial.benchmark, arch)


def recorded_work(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :meth:`transfer.task.Task.recorded_work`."""
    protocol, _ = load_protocol(benchmark, ())
    content = json.loads(record.resolved_config)
    names = [field.name for field in dataclasses.fields(protocol) if field.name in content]
    used = dataclasses.replace(protocol, **{name: _as_field(content[name], getattr(protocol, name)) for name in names})
    return _work(used, benchmark, record.weights.arch)


def _as_field(value: Any, current: Any = None) -> Any:
    """JSON has lists for tuples, and dicts for dataclasses such as the protocol's ``current`` value."""
    if dataclasses.is_dataclass(current) and not isinstance(current, type):
        return dataclasses.replace(current, **value)
    return tuple(_as_field(item) for item in value) if isinstance(value, list) else value


def _work(protocol: Any, benchmark: Benchmark, arch: str | None) -> Work:
    """What the protocol computes on the data set's images; unknown where any number of images is right."""
    row = benchmark.dataset
    views = getattr(protocol, "views", None)
    crop = views.size if views else getattr(protocol, "crop", None)
    seen = crop or (row.image_size if isinstance(row, LabelledDataset) else None)
    if not isinstance(row, LabelledDataset) or not row.sizes or not (size := row.image_size or crop):
        return Work(arch=arch, phases=(), image_size=seen)
    phases, uncounted = _phases(protocol, row, BackbonePass(arch, size) if arch else None)
    cache = {}
    if type(protocol).__name__ in ("LinearProtocol", "KnnProtocol") and arch in NUM_FEATURES:
        cache["feature cache"] = 4 * NUM_FEATURES[arch] * phases[0].num_images  # float32
    memory = _memory(protocol, arch, seen or size) if arch else None
    return Work(arch=arch, phases=phases, uncounted=uncounted, image_size=seen, shared_disk=cache, memory=memory)


def _memory(protocol: Any, arch: str, size: int) -> StepMemory:
    """Of a network that is trained, or of one that images only pass through; without linear heads and metrics."""
    trains, num_parameters = type(protocol).__name__ in TRAINED, architecture.num_elements(arch)
    batch_size = protocol.batch_size
    return StepMemory(
        batch_size=batch_size,
        image_bytes=PIXEL_BYTES * size * size,
        network=NetworkMemory(arch=arch, height=size, width=size, trains=trains, times=ROUNDED_UP),
        fixed_bytes=(STATE_BYTES if trains else 4) * num_parameters,
        has_batch_norm=trains and architecture.has_batch_norm(arch),
        parts=num_parts(batch_size, getattr(protocol, "norm_batch", None)),
    )


def _phases(
    protocol: Any, row: LabelledDataset, cost: BackbonePass | None
) -> tuple[tuple[Phase, ...], tuple[str, ...]]:
    """The phases of each kind of protocol, and what takes time and is in none of them."""

    def passed(what: str, num_images: int) -> Phase:
        return Phase(what=what, num_images=num_images, trains=False, cost=cost)

    def trained(what: str, steps: int, batch_size: int, *, reported: bool = True) -> Phase:
        num_images = steps * batch_size
        return Phase(what=what, num_images=num_images, steps=steps, trains=True, cost=cost, reported=reported)

    num_labelled, num_test = row.sizes["train"] + row.sizes.get("val", 0), row.sizes["test"]
    test = passed("test images", num_test)
    match type(protocol).__name__:
        case "LinearProtocol":
            per_class = protocol.labels_per_class
            num_used = num_labelled if per_class is None else row.num_classes * per_class
            return (passed("features", num_used + num_test),), ("the classifier's fits",)
        case "KnnProtocol":
            return (passed("features", num_labelled + num_test),), ("the neighbours",)
        case "FinetuneProtocol":
            num_used = round(protocol.labels_fraction * num_labelled)
            batch_size = min(protocol.batch_size, num_used)
            steps = protocol.epochs * math.ceil(num_used / batch_size)
            tuning = trained("fine-tuning", steps, batch_size)
            return (dataclasses.replace(tuning, num_images=protocol.epochs * num_used), test), ()
        case "HeadsProtocol":
            steps = protocol.epochs * math.ceil(num_labelled / protocol.batch_size)
            heads = dataclasses.replace(passed("heads", protocol.epochs * num_labelled), steps=steps)
            return (heads, test), ("the heads", "held-out images")
        case "GridProtocol":
            num_steps = len(protocol.lrs) * len(protocol.weight_decays) * protocol.grid_steps
            points = trained("points of the grid", num_steps, protocol.batch_size, reported=False)  # only whole points
            best = trained("train and val", protocol.steps, protocol.batch_size)
            return (points, best, test), ("validation images of each point",)
        case "ClusterProtocol":
            if protocol.clusters_from == "kmeans":
                return (passed("training images", min(protocol.kmeans_images, num_labelled)), test), (
                    "k-means",
                    "scoring",
                    "pictures",
                )
            return (test,), ("k-means, or a random head's statistics", "scoring", "pictures")
    return (), ()
