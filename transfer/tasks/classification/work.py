"""What a classification trial computes, read from its protocol. Imports no torch.

A protocol that is not in :data:`DESCRIPTIONS` is planned from recorded runs of its own benchmark, or from a probe.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

from transfer.record import TrialRecord
from transfer.rows import Benchmark, DatasetRow, LabelledDataset
from transfer.tasks.classification.protocol import load_protocol
from transfer.tasks.costs import NUM_FEATURES
from transfer.work import Asked, BackbonePass, Phase, Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """The images of a data set: the size in pixels at which the network sees them, and how many there are."""

    size: int
    num_classes: int
    num_train: int
    num_test: int


def planned(asked: Asked) -> Work:
    """See :meth:`transfer.task.Task.planned`.

    Raises:
        UserError: an override that the protocol does not know.
    """
    protocol, _ = load_protocol(asked.benchmark, asked.overrides)
    return _work(protocol, asked.benchmark, asked.arch)


def recorded(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :meth:`transfer.task.Task.recorded`."""
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
    describe, images = DESCRIPTIONS.get(type(protocol).__name__), _images(protocol, benchmark.dataset)
    if describe is None or images is None:
        return Work(arch=arch, phases=())
    return describe(protocol, images, arch)


def _images(protocol: Any, row: DatasetRow) -> Images | None:
    """The data set's images, of one size or as the protocol crops them; None where any number is right."""
    if not isinstance(row, LabelledDataset) or not row.sizes:
        return None
    views = getattr(protocol, "views", None)
    size = row.image_size or (views.size if views else getattr(protocol, "crop", None))
    if size is None:
        return None
    num_labelled = row.sizes["train"] + row.sizes.get("val", 0)
    return Images(size=size, num_classes=row.num_classes, num_train=num_labelled, num_test=row.sizes["test"])


def _linear(protocol: Any, images: Images, arch: str | None) -> Work:
    per_class = protocol.labels_per_class
    num_labelled = images.num_train if per_class is None else images.num_classes * per_class
    num_images = num_labelled + images.num_test
    phase = Phase(what="features", num_images=num_images, trains=False, cost=_pass(arch, images))
    num_features = NUM_FEATURES.get(arch or "")
    cache = {"feature cache": 4 * num_features * num_images} if num_features else {}  # float32
    return Work(arch=arch, phases=(phase,), uncounted=("the classifier's fits",), shared_disk=cache)


def _finetune(protocol: Any, images: Images, arch: str | None) -> Work:
    num_labelled = round(protocol.labels_fraction * images.num_train)
    batch_size = min(protocol.batch_size, num_labelled)
    steps = protocol.epochs * (num_labelled // batch_size)
    cost = _pass(arch, images)
    training = Phase(what="fine-tuning", num_images=steps * batch_size, steps=steps, trains=True, cost=cost)
    test = Phase(what="test images", num_images=images.num_test, trains=False, cost=cost)
    return Work(arch=arch, phases=(training, test))


def _heads(protocol: Any, images: Images, arch: str | None) -> Work:
    cost = _pass(arch, images)
    training = Phase(
        what="heads",
        num_images=protocol.epochs * images.num_train,
        steps=protocol.epochs * math.ceil(images.num_train / protocol.batch_size),
        trains=False,
        cost=cost,
    )
    test = Phase(what="test images", num_images=images.num_test, trains=False, cost=cost)
    return Work(arch=arch, phases=(training, test), uncounted=("the heads", "held-out images"))


def _grid(protocol: Any, images: Images, arch: str | None) -> Work:
    num_points = len(protocol.lrs) * len(protocol.weight_decays)
    cost = _pass(arch, images)

    def training(what: str, steps: int, *, reported: bool = True) -> Phase:
        num_images = steps * protocol.batch_size
        return Phase(what=what, num_images=num_images, steps=steps, trains=True, cost=cost, reported=reported)

    points = training("points of the grid", num_points * protocol.grid_steps, reported=False)  # told point by point
    test = Phase(what="test images", num_images=images.num_test, trains=False, cost=cost)
    phases = (points, training("train and val", protocol.steps), test)
    return Work(arch=arch, phases=phases, uncounted=("validation images of each point",))


def _cluster(protocol: Any, images: Images, arch: str | None) -> Work:
    test = Phase(what="test images", num_images=images.num_test, trains=False, cost=_pass(arch, images))
    if protocol.clusters_from != "kmeans":
        return Work(
            arch=arch, phases=(test,), uncounted=("k-means, or a random head's statistics", "scoring", "pictures")
        )
    train = Phase(what="training images", num_images=protocol.kmeans_images, trains=False, cost=_pass(arch, images))
    return Work(arch=arch, phases=(train, test), uncounted=("k-means", "scoring", "pictures"))


def _pass(arch: str | None, images: Images) -> BackbonePass | None:
    return BackbonePass(arch, images.size) if arch else None


# The name of a protocol's class, to what it computes.
DESCRIPTIONS: dict[str, Callable[[Any, Images, str | None], Work]] = {
    "LinearProtocol": _linear,
    "FinetuneProtocol": _finetune,
    "HeadsProtocol": _heads,
    "GridProtocol": _grid,
    "ClusterProtocol": _cluster,
}
