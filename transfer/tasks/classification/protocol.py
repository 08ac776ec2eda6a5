"""The protocols of classification as data: typed, overridable by name, and written out in full for the record.

Imports no torch. Configs build these; whoever needs a config loads it by its benchmark's name with
:func:`load_protocol`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transfer.record import TrialRecord
from transfer.rows import Benchmark, LabelledDataset
from transfer.weights.backbone.architecture import RESNETS
from twist_common import overrides

Precision = Literal["fp32", "bf16"]  # of the network's passes on GPUs; see transfer.tasks.classification.precision
Interpolation = Literal["bilinear", "bicubic"]

SMALL_SIDE = 64  # pixels; 50,000 images of this size are 600 MB


@dataclass(frozen=True, kw_only=True)
class LinearProtocol:
    """Logistic regression on frozen features as they are (:mod:`transfer.tasks.classification.logistic`).

    Attributes:
        labels_per_class: drawn from the training images by the trial's seed; None takes all of them.
        val_fraction: part of each class on which ``l2`` is chosen, drawn by the trial's seed, where the data set has no
            validation images of its own; None takes its row's. Then all labelled images are fitted.
        choose_by: the data set's main metric, or the loss, which is less noisy where few images are held out.
        l2_grid: candidates for the weight of half the squared norm beside the mean cross-entropy.
        tolerance: bound on the gradient's norm, relative to its norm without any classifier.
        max_iter: L-BFGS iterations for one l2.
        resize, crop: pixels of the short side (bicubic) and of the center crop; None leaves images as they are.
        batch_size: of the feature extraction.
        precision: of the feature extraction.
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
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class KnnProtocol:
    """Votes of the nearest training images, on frozen features (:mod:`transfer.tasks.classification.knn`).

    Attributes:
        num_neighbors: training images that vote for a test image.
        temperature: of the votes' weights, exp(cosine similarity / temperature).
        resize, crop, batch_size, precision: as of :class:`LinearProtocol`.
    """

    num_neighbors: int
    temperature: float
    resize: int | None
    crop: int | None
    batch_size: int
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class Views:
    """How a protocol that trains by SGD shows its images.

    Attributes:
        augment: of training images. ``"crop and flip"``: a random part of ``min_scale`` to all of the area, with sides
            from 3:4 to 4:3, resized to ``size`` and flipped half of the time. ``"shift"``: moved by up to
            ``max_shift`` pixels along both axes; the border is repeated to fill the gap.
        size: side of the input in pixels.
        resize: short side before the middle ``size`` × ``size`` is scored; None: as it is.
        interpolation: of both. ``"by family"`` is that of the official code: bilinear for ResNets
            (https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c/evaluate.py,
            which leaves torchvision's default), bicubic for ViTs (evaluate_vitlinear.py there).
        min_scale: for ``"crop and flip"``.
        max_shift: for ``"shift"``.
    """

    augment: Literal["crop and flip", "shift"]
    size: int
    resize: int | None
    interpolation: Literal["by family", "bilinear", "bicubic"] = "by family"
    min_scale: float = 0.08  # torchvision's default, as everywhere
    max_shift: int = 0

    @property
    def is_small(self) -> bool:
        """Whether images of this size are kept in memory rather than read in every epoch."""
        return self.size <= SMALL_SIDE

    def interpolation_for(self, arch: str) -> Interpolation:
        """The interpolation of a backbone's images."""
        if self.interpolation != "by family":
            return self.interpolation
        return "bilinear" if arch in RESNETS else "bicubic"


@dataclass(frozen=True, kw_only=True)
class FinetuneProtocol:
    """Backbone and a fresh linear head trained by SGD on a part of the labels; scored once, at the end.

    Attributes:
        labels_fraction: of the training images, by the list that the user gives, or evenly from each class, drawn by
            the trial's seed; 1: all of them.
        epochs, batch_size: passes over the labelled images; each epoch's last, smaller batch is kept, see
            :class:`transfer.tasks.classification.loader.Order`.
        lr_backbone, lr_head: at the end of the warm-up; both fall to 0 along a cosine.
        cosine: whether the learning rate falls after every step or after every epoch.
        warmup_steps: steps during which the learning rate rises linearly.
        momentum, nesterov, weight_decay: of SGD; vectors (norms and biases) have no weight decay.
        norm_batch: images over which batch norm takes its statistics, however many processes share the batch; None: all
            of the batch. Running statistics are those of the first ``norm_batch`` images of each step, as they are of
            the first process in plain data-parallel training.
        head_std: deviation of the normal distribution that the head's weights are drawn from; 0 starts at zero.
        views: see :class:`Views`.
        test_batch_size: of the forward passes over the test images.
        precision: of all passes on GPUs.
    """

    labels_fraction: float
    epochs: int
    batch_size: int
    lr_backbone: float
    lr_head: float
    cosine: Literal["step", "epoch"]
    warmup_steps: int
    momentum: float
    nesterov: bool
    weight_decay: float
    norm_batch: int | None
    head_std: float
    views: Views
    test_batch_size: int
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class HeadSetting:
    """A linear head: its feature (:class:`transfer.tasks.classification.heads.FrozenFeatures`) and its SGD."""

    feature: str
    lr: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class HeadsProtocol:
    """Linear heads trained by SGD on random views of all training images, the backbone frozen and in eval mode.

    One pass of the backbone feeds all heads. The official head sees every training image and gives the main figures.
    The candidates (every feature of the backbone × ``lrs`` × ``weight_decays``) leave out a few training images, by
    which one of them is chosen.

    Attributes:
        resnet, deit_small, vit_base: the official head of these backbones.
        lrs, weight_decays: of the candidates, at ``batch_size``.
        val_fraction: of each class's training images, on which a candidate is chosen; drawn by the trial's seed.
        epochs, batch_size: passes over the training images; each epoch's last, smaller batch is kept.
        momentum: of SGD; the learning rates fall along a cosine that is stepped once per epoch.
        head_std: deviation of the normal distribution that all heads' weights are drawn from.
        views: see :class:`Views`.
        test_batch_size: of the forward passes over held-out and test images.
        precision: of the backbone's passes on GPUs; the heads are in single precision.
    """

    resnet: HeadSetting
    deit_small: HeadSetting
    vit_base: HeadSetting
    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    val_fraction: float
    epochs: int
    batch_size: int
    momentum: float
    head_std: float
    views: Views
    test_batch_size: int
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class GridProtocol:
    """Fine-tuning of the whole network, its learning rate and weight decay chosen on validation images.

    Each point of the grid is trained on the training images and scored on the validation images; the best one is
    trained again on both, and scored once on the test images.

    Attributes:
        lrs, weight_decays: the grid. A weight decay is divided by the learning rate before it is given to SGD, which
            multiplies it by the learning rate again.
        val_fraction: of each class, where a data set has no validation images of its own; None: as its row says.
        grid_steps: of the training of a point.
        steps: of the last training.
        batch_size: images per step; each epoch's last, smaller batch is dropped.
        momentum: of SGD with Nesterov momentum; the learning rates fall to 0 along a cosine.
        head_std: deviation of the normal distribution that the head's weights are drawn from.
        views: see :class:`Views`.
        test_batch_size: of the forward passes over validation and test images.
        precision: of all passes on GPUs.
    """

    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    val_fraction: float | None
    grid_steps: int
    steps: int
    batch_size: int
    momentum: float
    head_std: float
    views: Views
    test_batch_size: int
    precision: Precision = "fp32"


def log_grid(lowest: int, highest: int, num_values: int) -> tuple[float, ...]:
    """Values from 10^lowest to 10^highest in even logarithmic steps, with the seven digits that a record shows."""
    steps = num_values - 1
    return tuple(float(f"{10 ** (lowest + (highest - lowest) * step / steps):.6e}") for step in range(num_values))


def num_parts(batch_size: int, norm_batch: int | None) -> int:
    """Into how many parts of at most ``norm_batch`` images a step is divided, over all processes."""
    return 1 if norm_batch is None else math.ceil(batch_size / norm_batch)


def load_protocol(benchmark: Benchmark, changes: Sequence[str]) -> tuple[Any, list[str]]:
    """The benchmark's protocol with the trial's overrides, and what these change.

    Args:
        benchmark: its config is a Python file that holds the protocol as ``CONFIG``.
        changes: ``"key=value"``, see :func:`twist_common.overrides.apply`.

    Returns:
        The config's dataclass, and ``"key: protocol value -> value used"`` for each field that differs.

    Raises:
        UserError: an override names no field or has a value of the wrong type.
    """
    module = "twist_configs." + benchmark.config.removesuffix(".py").replace("/", ".")
    protocol = importlib.import_module(module).CONFIG
    used = overrides.apply(protocol, changes)
    pairs = [
        (field.name, getattr(protocol, field.name), getattr(used, field.name)) for field in dataclasses.fields(protocol)
    ]
    return used, [f"{name}: {before} -> {after}" for name, before, after in pairs if before != after]


def val_fraction(protocol: LinearProtocol | GridProtocol, row: LabelledDataset) -> float:
    """The part of each class that is held out where the data set has no validation images of its own."""
    return row.val_fraction if protocol.val_fraction is None else protocol.val_fraction


def data_facts(protocol: LinearProtocol | GridProtocol, row: LabelledDataset) -> dict[str, str]:
    """What a row of the table of data sets settles, for :func:`resolved`."""
    return {
        "dataset": row.name,
        "metric": row.metric,
        "val_images": "official" if row.official_val else f"{val_fraction(protocol, row):.4g} of train",
        "split_rule": row.split_rule,
    }


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


def undeclared_difference(record: TrialRecord, benchmark: Benchmark) -> list[str]:
    """See :meth:`transfer.task.Task.undeclared_difference`; the protocol's fields are compared."""
    used = json.loads(record.resolved_config)
    protocol = json.loads(resolved(benchmark, load_protocol(benchmark, ())[0]))
    return [f"{name}: {value} -> {used.get(name)}" for name, value in protocol.items() if used.get(name) != value]
