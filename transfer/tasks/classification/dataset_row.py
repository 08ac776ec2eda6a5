"""What the table of classification data sets says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MetricName = Literal["top1", "mean_per_class", "map11"]
Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """A data set of ``configs/classification/datasets.py``.

    Attributes:
        title: its usual name.
        loader: key of :data:`transfer.tasks.classification.datasets.LOADERS`.
        metric: the main one; ``map11`` is VOC2007's 11-point mean average precision.
        num_classes: as published; 0 where any number is right (somebody's own images).
        sizes: images in ``"train"``, ``"val"`` (where ``official_val``) and ``"test"``, as published; empty where any
            number is right.
        official_val: whether the data set has validation images of its own; else a part of train is held out.
        split_rule: in words, for docs and reports.
        guide: what to fetch, and how to lay it out below ``{root}``.
        test_split: what the data set calls its test images.
        val_fraction: part of each class of train that is held out where there are no validation images; as many as
            SimCLR and BYOL hold out.
    """

    name: str
    title: str
    loader: str
    metric: MetricName
    num_classes: int
    sizes: Mapping[str, int]
    official_val: bool
    split_rule: str
    guide: str
    test_split: str = "test"
    val_fraction: float = 0.2

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the data set comes with."""
        return ("train", "val", "test") if self.official_val else ("train", "test")
