"""What a classification trial computes, read from its protocol. Imports no torch.

A protocol that is not in :data:`DESCRIPTIONS` is planned from recorded runs of its own benchmark, or from a probe.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

from transfer.benchmarks import Benchmark
from transfer.record import TrialRecord
from transfer.tasks.classification.protocol import load_protocol
from transfer.tasks.costs import NUM_FEATURES
from transfer.tasks.work import Asked, BackbonePass, Phase, Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """Of a data set: the size in pixels at which the network sees them, and how many there are."""

    size: int
    num_classes: int
    num_train: int
    num_test: int


DATA = {
    # common.digits writes the same every time
    "digits": Images(size=28, num_classes=10, num_train=4000, num_test=1000),
    "imagenet": Images(size=224, num_classes=1000, num_train=1_281_167, num_test=50_000),
}


def planned(asked: Asked) -> Work:
    """See :mod:`transfer.tasks.work`.

    Raises:
        UserError: an override that the protocol does not know.
    """
    protocol, _ = load_protocol(asked.benchmark, asked.overrides)
    return _work(protocol, asked.benchmark, asked.arch)


def recorded(record: TrialRecord, benchmark: Benchmark) -> Work:
    """See :mod:`transfer.tasks.work`."""
    protocol, _ = load_protocol(benchmark, ())
    content = json.loads(record.resolved_config)
    names = [field.name for field in dataclasses.fields(protocol) if field.name in content]
    used = dataclasses.replace(protocol, **{name: _as_field(content[name], getattr(protocol, name)) for name in names})
    return _work(used, benchmark, record.weights.arch)


def shortened(work: Work, iterations: int) -> tuple[str, ...]:
    """See :mod:`transfer.tasks.work`: these trials report each step, so a probe watches the protocol itself."""
    return ()


def _as_field(value: Any, current: Any = None) -> Any:
    """JSON has lists for tuples, and dicts for dataclasses such as the protocol's ``current`` value."""
    if dataclasses.is_dataclass(current) and not isinstance(current, type):
        return dataclasses.replace(current, **value)
    return tuple(_as_field(item) for item in value) if isinstance(value, list) else value


def _work(protocol: Any, benchmark: Benchmark, arch: str | None) -> Work:
    kind = f"{type(protocol).__module__}.{type(protocol).__qualname__}"
    describe, images = DESCRIPTIONS.get(kind), DATA.get(benchmark.data) or _images(protocol, benchmark)
    if describe is None or images is None:
        return Work(arch=arch, phases=())
    return describe(protocol, images, arch)


def _images(protocol: Any, benchmark: Benchmark) -> Images | None:
    """Of a row of the table of data sets, cropped as a linear or a grid's protocol says."""
    from configs.classification.datasets import DATASETS

    row = DATASETS.get(benchmark.dataset or "")
    views = getattr(protocol, "views", None)
    size = views.size if views else getattr(protocol, "crop", None)
    if row is None or size is None or not row.sizes:
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


# A protocol's class, by its full name, to what it computes.
DESCRIPTIONS: dict[str, Callable[[Any, Images, str | None], Work]] = {
    "transfer.tasks.classification.protocol.LinearProtocol": _linear,
    "transfer.tasks.classification.sgd_protocols.FinetuneProtocol": _finetune,
    "transfer.tasks.classification.sgd_protocols.HeadsProtocol": _heads,
    "transfer.tasks.classification.sgd_protocols.GridProtocol": _grid,
    "transfer.tasks.clustering.protocol.ClusterProtocol": _cluster,
}
