"""The published rows shown beside measured ones. Nothing here was measured by this program."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PUBLISHED_FILE = Path(__file__).with_name("published.yaml")
BACKBONES = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet50w2": "ResNet-50w2",
    "resnet101": "ResNet-101",
    "deit_small": "DeiT-S",
    "vit_base": "ViT-B",
}


@dataclass(frozen=True)
class PublishedRow:
    """One printed row.

    Attributes:
        values: metric name to the figure as printed; metrics that the paper does not report are left out.
        note: what a reader should know about the method.
        facts: what the table says about the method beside its figures: ``backbone``, ``epochs``, ``multi_crop``.
        at: the swept number, for points of a curve.
    """

    method: str
    values: dict[str, float]
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    at: float | None = None

    @property
    def label(self) -> str:
        """The method with everything the table says about it."""
        facts = [fact_text("backbone", self.facts["backbone"])] if "backbone" in self.facts else []
        if "epochs" in self.facts:
            epochs = self.facts["epochs"]
            facts.append(f"{epochs} epochs" if epochs else "epochs not reported")
        if "multi_crop" in self.facts:
            facts.append("multi-crop" if self.facts["multi_crop"] else "no multi-crop")
        return ", ".join([self.method, *facts, *([self.note] if self.note else [])])


@dataclass(frozen=True)
class PublishedTable:
    """Rows of one published table that belong to one benchmark or ablation.

    Attributes:
        source: where the figures are printed, e.g. ``"Table 5 of arXiv:2110.07402"``.
        setting: what was run there.
        metrics: in the order of the columns.
        figure: the paper's figure that shows the same as curves, e.g. ``"4(b)"``.
        num_trials: of how many trials a figure is the mean; 1 where the paper does not say.
    """

    source: str
    setting: str
    rows: tuple[PublishedRow, ...]
    metrics: tuple[str, ...] = ()
    figure: str | None = None
    num_trials: int = 1


@functools.cache
def published_file() -> dict[str, Any]:
    """The content of ``published.yaml``."""
    import yaml

    return yaml.safe_load(PUBLISHED_FILE.read_text(encoding="utf-8"))


def published_table(benchmark: str) -> PublishedTable | None:
    """The published figures for a benchmark, None if there are none."""
    entry = published_file()["benchmarks"].get(benchmark)
    if entry is not None:
        return _table(entry)
    data_set, _, name = benchmark.rpartition("-")
    matrix = published_file()["matrices"].get(name)  # a table with one column per data set
    if matrix is None or data_set not in matrix["columns"]:
        return None
    index, metric = list(matrix["columns"]).index(data_set), matrix["columns"][data_set]["metric"]
    rows = tuple(PublishedRow(row["method"], {metric: float(row["values"][index])}) for row in matrix["rows"])
    return PublishedTable(f"Table {matrix['table']} of {paper_id()}", matrix["setting"], rows, metrics=(metric,))


def published_ablation(study: str) -> PublishedTable | None:
    """The published figures of an ablation; without rows where the paper prints none."""
    entry = published_file()["ablations"].get(study)
    return _table(entry) if entry else None


def paper_id() -> str:
    """E.g. ``"arXiv:2110.07402"``."""
    return str(published_file()["paper"]["id"])


def fact_text(name: str, value: Any) -> str:
    """A fact about a method as text: ``resnet50`` is ``"ResNet-50"``, multi-crop is yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return BACKBONES.get(value, value) if name == "backbone" else f"{value:g}"


def _table(entry: Mapping[str, Any]) -> PublishedTable:
    rows = tuple(
        PublishedRow(
            method=row["method"],
            values={
                metric: float(value)
                for metric, value in zip(entry["metrics"], row["values"], strict=True)
                if value is not None
            },
            note=row.get("note", ""),
            facts={name: row[name] for name in ("backbone", "epochs", "multi_crop") if name in row},
            at=row.get("at"),
        )
        for row in entry["rows"]
    )
    source = entry.get("source") or (f"Table {entry['table']} of {paper_id()}" if "table" in entry else paper_id())
    figure, num_trials = entry.get("figure"), entry.get("num_trials", 1)
    return PublishedTable(source, entry["setting"], rows, tuple(entry["metrics"]), figure, num_trials)
