"""The rows of :mod:`transfer.datasets` and :mod:`transfer.benchmarks`: what each says. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transfer.layouts import Layout

CONFIGS = Path(__file__).resolve().parents[1] / "twist_configs"

MetricName = Literal["top1", "mean_per_class", "map11"]
Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """A data set as one kind of task reads it. Nothing is ever downloaded.

    Attributes:
        title: its usual name.
        guide: what to fetch, and how to lay it out below ``{root}``.
        source: where it comes from, in a few words, for the table in ``docs/data.md``.
        folder: its folder below the root of all data sets; by default ``name``.
        parts: the folders and files below its own folder that are read; None: all of them.
        in_detectron2_root: whether ``$DETECTRON2_DATASETS`` may hold it.
        embedded: whether it is the digits that come with the suite.
        is_own: whether it is the user's own images, which the row's name does not identify.
        content: hash of the files of own data, once it is known which they are (:mod:`transfer.doctor.own_data`).
        remarks: what a reader of figures must know about own data, a sentence each.
    """

    name: str
    title: str
    guide: str
    source: str
    folder: str = ""
    parts: tuple[str, ...] | None = None
    in_detectron2_root: bool = False
    embedded: bool = False
    is_own: bool = False
    content: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.folder or self.name)

    @property
    def counts(self) -> dict[str, int]:
        """Images in ``"train"``, ``"val"`` and ``"test"``, as published; empty where any number will do."""
        return {}


@dataclass(frozen=True, kw_only=True)
class LabelledDataset(DatasetRow):
    """Images with labels, for classification and clustering.

    Attributes:
        loader: module of :mod:`transfer.tasks.classification.datasets` that lists the images.
        metric: the main one; ``map11`` is VOC2007's 11-point mean average precision.
        num_classes: as published; 0 where any number will do.
        sizes: see :attr:`counts`; ``"val"`` only where ``official_val``.
        official_val: whether the data set has validation images of its own; otherwise part of train is held out.
        split_rule: in words; a part of the resolved configs in records, so that rewording it changes them.
        test_split: what the data set calls its test images.
        val_fraction: part of each class of train that is held out where there are no validation images, after the
            numbers of images in BYOL's table 10 (arXiv:2006.07733); see ``tools/deviations/classification.py``.
        image_size: pixels, where all images have one size; None: as the protocol crops them.
    """

    loader: str
    metric: MetricName
    num_classes: int
    sizes: Mapping[str, int] = field(hash=False)
    official_val: bool
    split_rule: str
    test_split: str = "test"
    val_fraction: float = 0.2
    image_size: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.sizes)

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the data set comes with."""
        return ("train", "val", "test") if self.official_val else ("train", "test")


@dataclass(frozen=True, kw_only=True)
class DenseDataset(DatasetRow):
    """Images with boxes or masks; the first layout says which are the test images."""

    layouts: tuple[Layout, ...]

    @property
    def counts(self) -> dict[str, int]:
        first = self.layouts[0]
        if not first.num_train:  # own data, of which nobody knows yet
            return {}
        return {"train": first.num_train, "test": first.num_test}


@dataclass(frozen=True, kw_only=True)
class Band:
    """The range in which a canary's main metric must end; the end at which nothing was learned is itself outside.

    That is ``low``, or ``high`` of errors (:func:`transfer.record_bounds.direction_of`).

    Attributes:
        source: how it was measured, or where it is published.
    """

    low: float
    high: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A short trial with a known outcome (:mod:`transfer.preflight.canary`).

    Attributes:
        overrides: what makes the trial short, in the framework's names.
        random, supervised: bands to expect; ``supervised`` is None where nobody has measured one.
    """

    overrides: tuple[str, ...]
    random: Band
    supervised: Band | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A named protocol.

    Attributes:
        task: package with the :class:`transfer.task.Task` that runs it.
        config: file below ``twist_configs/`` that holds the protocol.
        protocol_version: raised whenever a change of the protocol changes results.
        title: heading in reports.
        summary: the protocol in one line, for ``--help`` and the README.
        main_metric: the figure that is plotted and compared first.
        arch: the architecture that the protocol is made for; None: any.
        target: what weights are converted for, where it is not the task's own (:meth:`transfer.task.Task.target_of`).
        typed: what the user types after its command; by default ``name``.
        group: the name that stands for all benchmarks of a kind on command lines.
        variant_of: the benchmark that it is a variant of; ``option`` asks for it on the command line.
        labels_list: the published list of labelled images that defines it, where there is one.
        suite: the suite that it is part of.
        counted_as: the benchmark whose costs per image are its own, but for the number of classes; by default ``name``.
    """

    name: str
    task: str
    config: str
    dataset: DatasetRow
    protocol_version: int
    title: str
    summary: str
    main_metric: str
    num_trials: int = 5
    arch: str | None = None
    target: str | None = None
    typed: str = ""
    group: str | None = None
    variant_of: str | None = None
    option: Literal["--frozen", "--kmeans", "--grid cheap"] | None = None
    labels_list: str | None = None
    suite: str | None = None
    canary: Canary | None = None
    counted_as: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "typed", self.typed or self.name)
        object.__setattr__(self, "counted_as", self.counted_as or self.name)

    @property
    def config_path(self) -> Path:
        return CONFIGS / self.config
