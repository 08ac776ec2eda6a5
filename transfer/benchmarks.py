"""The table of benchmarks: a row says everything that commands, plans, canaries, suites, docs and reports need."""

from __future__ import annotations

from typing import Any

from transfer import canaries
from transfer.datasets import DATASETS
from transfer.dense_benchmarks import DEMO_DENSE, DENSE, benchmark_row
from transfer.dense_benchmarks import DETECTION as DETECTION
from transfer.dense_benchmarks import SEGMENTATION as SEGMENTATION
from transfer.own_benchmarks import OWN
from transfer.rows import Benchmark, LabelledDataset
from twist_common.errors import unknown_name

CLASSIFICATION = "transfer.tasks.classification"
CLUSTERING = "transfer.tasks.clustering"

ELEVEN = (
    "food101", "cifar10", "cifar100", "sun397", "cars", "aircraft", "voc2007", "dtd", "pets", "caltech101", "flowers102"
)  # fmt: skip


def _classification(name: str, dataset: str, config: str, **fields: Any) -> Benchmark:
    row = DATASETS[dataset]
    assert isinstance(row, LabelledDataset)
    draws = config != "linear11" or not row.official_val  # else no seed is drawn from, and it is a version behind
    fields = {"protocol_version": 3 if draws else 2, **fields}
    return benchmark_row(CLASSIFICATION, name, dataset, f"classification/{config}.py", row.metric, **fields)


def _clustering(name: str, dataset: str, config: str, **fields: Any) -> Benchmark:
    return benchmark_row(
        CLUSTERING, name, dataset, f"classification/{config}.py", "nmi", **{"protocol_version": 2, **fields}
    )


def _on_eleven(mode: str, what: str, summary: str, config: str, variant_of: str = "", **fields: Any) -> list[Benchmark]:
    """A benchmark on each of the eleven data sets: ``<data set>-<mode>``, all with one config."""
    rows = []
    for name in ELEVEN:
        title, base = f"{DATASETS[name].title}, {what}", f"{name}-{variant_of}" if variant_of else None
        rows.append(
            _classification(f"{name}-{mode}", name, config, title=title, summary=summary, variant_of=base, **fields)
        )
    return rows


def _parts_of_labels(prefix: str, dataset: str, title: str, configs: str, **fields: Any) -> list[Benchmark]:
    """Fine-tuning with 1, 10 and 100 % of the labels: ``<prefix>-1pct`` and so on, each with its config."""
    lists = {"1pct": "1percent.txt", "10pct": "10percent.txt"} if prefix == "imagenet" else {}
    rows = []
    for part, what in (("1pct", "1 % of the labels"), ("10pct", "10 % of the labels"), ("100pct", "all labels")):
        fields |= {
            "title": f"{title}, fine-tuning with {what}",
            "summary": "network and head, each at its own learning rate; the last epoch counts",
        }
        config, labels_list = f"{configs}_{part}", lists.get(part)
        rows.append(_classification(f"{prefix}-{part}", dataset, config, labels_list=labels_list, **fields))
    return rows


_ROWS = (
    *DENSE,
    *OWN,
    *_on_eleven(
        "linear", "linear classification on frozen features",
        "logistic regression by L-BFGS on frozen features, 45 values of l2, chosen on validation images",
        "linear11", suite="paper", group="linear11",
    ),
    *_on_eleven(
        "finetune", "fine-tuning",
        "20,000 steps; learning rate and weight decay from a grid of 56, chosen on validation images",
        "finetune11", suite="paper", group="finetune11",
    ),
    *_on_eleven(
        "finetune-cheap", "fine-tuning, cheap grid", "5,000 steps, a grid of 6", "finetune11_cheap",
        variant_of="finetune", option="--grid cheap",
    ),
    _classification(
        "imagenet-linear", "imagenet", "imagenet_linear", suite="paper",
        title="ImageNet, linear classification",
        summary="SGD heads on the frozen backbone: the official one, and one of many, chosen on held-out images",
    ),
    _classification(
        "folder-linear", "folder", "imagenet_linear",
        title="Own images, linear classification", summary="as imagenet-linear",
    ),
    *(
        _classification(
            f"{name}-knn", dataset, config, protocol_version=1, num_trials=1, title=f"{title}, nearest neighbours",
            canary=canary,
            summary="the 20 nearest training images vote, on frozen features; nothing is drawn: one trial",
        )
        for name, dataset, config, title, canary in (
            ("demo", "cls-digits", "demo_knn", "Digits", canaries.DEMO_KNN),
            ("imagenet", "imagenet", "knn", "ImageNet", canaries.KNN), ("folder", "folder", "knn", "Own images", None),
        )
    ),
    *_parts_of_labels("imagenet", "imagenet", "ImageNet", "imagenet", suite="paper"),
    *_parts_of_labels("folder", "folder", "Own images", "imagenet"),
    _clustering(
        "imagenet-cluster", "imagenet", "imagenet_cluster", protocol_version=3, typed="imagenet", suite="paper",
        title="ImageNet, unsupervised classification", summary="the 50,000 validation images",
    ),
    _clustering(
        "imagenet-kmeans", "imagenet", "imagenet_kmeans", protocol_version=3, typed="imagenet",
        variant_of="imagenet-cluster", option="--kmeans",
        title="ImageNet, k-means on frozen features", summary="k-means for all",
    ),
    _clustering(
        "folder-cluster", "folder", "imagenet_cluster", protocol_version=3, typed="folder",
        title="Image folder, unsupervised classification",
        summary="any folder with train/<class>/* and val/<class>/*, given with --data",
    ),
    _clustering(
        "folder-kmeans", "folder", "imagenet_kmeans", protocol_version=3, typed="folder",
        variant_of="folder-cluster", option="--kmeans",
        title="Image folder, k-means on frozen features", summary="k-means for all",
    ),
    # The demo's: the cheap ones first, in the order in which its suite runs them.
    _classification(
        "demo-linear", "cls-digits", "demo_linear", protocol_version=4, suite="demo",
        title="Digits, linear classification on frozen features", summary="logistic regression on frozen features",
    ),
    _clustering(
        "demo-cluster", "cls-digits", "demo_cluster", protocol_version=3, typed="demo", suite="demo",
        title="Digits, unsupervised classification", summary="the embedded digits",
    ),
    _clustering(
        "demo-kmeans", "cls-digits", "demo_kmeans", typed="demo", variant_of="demo-cluster", option="--kmeans",
        title="Digits, k-means on frozen features", summary="k-means for all",
    ),
    *_parts_of_labels("demo", "cls-digits", "Digits", "demo", suite="demo"),
    _classification(
        "demo-heads", "cls-digits", "demo_heads", suite="demo",
        title="Digits, linear classification by SGD heads", summary="linear heads by SGD on the frozen backbone",
    ),
    *DEMO_DENSE,
)  # fmt: skip

BENCHMARKS: dict[str, Benchmark] = {row.name: row for row in _ROWS}

# Names that stand for several benchmarks, on command lines.
GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(row.name for row in _ROWS if row.group == group) for group in ("linear11", "finetune11")
}


def get(name: str) -> Benchmark:
    """The benchmark of this name.

    Raises:
        UserError: there is none.
    """
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


def of_suite(suite: str) -> list[Benchmark]:
    """The benchmarks of a suite, in the order of the table.

    Raises:
        UserError: there is no suite of this name.
    """
    suites = sorted({row.suite for row in BENCHMARKS.values() if row.suite})
    if suite not in suites:
        raise unknown_name("suite", suite, suites)
    return [row for row in BENCHMARKS.values() if row.suite == suite]
