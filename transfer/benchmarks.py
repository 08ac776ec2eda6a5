"""The table of benchmarks: a row says everything that commands, plans, canaries, suites, docs and reports need."""

from __future__ import annotations

from typing import Any

from common.errors import unknown_name
from transfer import canaries
from transfer.datasets import DATASETS
from transfer.rows import Benchmark, LabelledDataset

DETECTION = "transfer.tasks.detection"
SEGMENTATION = "transfer.tasks.segmentation"
CLASSIFICATION = "transfer.tasks.classification"
CLUSTERING = "transfer.tasks.clustering"

ELEVEN = (
    "food101", "cifar10", "cifar100", "sun397", "cars", "aircraft", "voc2007", "dtd", "pets", "caltech101", "flowers102"
)  # fmt: skip


def _row(task: str, name: str, dataset: str, config: str, metric: str, **fields: Any) -> Benchmark:
    fields = {"protocol_version": 1, **fields}
    return Benchmark(name=name, task=task, dataset=DATASETS[dataset], config=config, main_metric=metric, **fields)


def _detection(name: str, dataset: str, config: str, metric: str = "box_ap", **fields: Any) -> Benchmark:
    return _row(DETECTION, name, dataset, f"detection/{config}.yaml", metric, **{"arch": "resnet50", **fields})


def _segmentation(name: str, dataset: str, config: str, **fields: Any) -> Benchmark:
    return _row(SEGMENTATION, name, dataset, f"segmentation/{config}.py", "miou", **{"arch": "resnet50", **fields})


def _segmentation_of_any(base: str, dataset: str, title: str) -> list[Benchmark]:
    """A paper's protocol with any architecture, fine-tuned and frozen."""
    name, typed = f"seg-{base}-any", f"{base}-any"
    return [
        _segmentation(
            name, dataset, f"{base}_any", typed=typed, arch=None, title=f"{title} segmentation, FCN on any network",
            summary=f"as {base} with any architecture, AdamW and layer-wise decay; our settings",
        ),
        _segmentation(
            f"{name}-frozen", dataset, f"{base}_any_frozen", typed=typed, arch=None, variant_of=name, option="--frozen",
            title=f"{title} segmentation on any frozen network, linear head",
            summary="a linear head on the maps of the frozen backbone, in minutes",
        ),
    ]  # fmt: skip


def _classification(name: str, dataset: str, config: str, **fields: Any) -> Benchmark:
    row = DATASETS[dataset]
    assert isinstance(row, LabelledDataset)
    draws = config != "linear11" or not row.official_val  # else no seed is drawn from, and it is a version behind
    fields = {"protocol_version": 3 if draws else 2, **fields}
    return _row(CLASSIFICATION, name, dataset, f"classification/{config}.py", row.metric, **fields)


def _clustering(name: str, dataset: str, config: str, **fields: Any) -> Benchmark:
    return _row(CLUSTERING, name, dataset, f"classification/{config}.py", "nmi", **{"protocol_version": 2, **fields})


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
        fields |= {"title": f"{title}, fine-tuning with {what}", "summary": f"fine-tuning with {what}"}
        config, labels_list = f"{configs}_{part}", lists.get(part)
        rows.append(_classification(f"{prefix}-{part}", dataset, config, labels_list=labels_list, **fields))
    return rows


_ROWS = (
    _detection(
        "voc", "voc", "voc", suite="paper", canary=canaries.VOC,
        title="VOC07+12 detection, Faster R-CNN R50-FPN",
        summary="Faster R-CNN R50-FPN, VOC07+12 trainval -> VOC07 test, 24k iterations at batch 16, SyncBN",
    ),
    _detection(
        "coco", "coco", "coco", suite="paper", canary=canaries.COCO,
        title="COCO detection and instance segmentation, Mask R-CNN R50-FPN",
        summary="Mask R-CNN R50-FPN, train2017 -> val2017, 90k iterations at batch 16, SyncBN",
    ),
    _detection(
        "voc-c4", "voc", "voc_c4", canary=canaries.VOC,
        title="VOC07+12 detection, Faster R-CNN R50-C4",
        summary="as voc with MoCo's R50-C4, a batch norm after res5; not comparable with voc",
    ),
    _detection(
        "coco-c4", "coco", "coco_c4", canary=canaries.COCO,
        title="COCO detection and instance segmentation, Mask R-CNN R50-C4",
        summary="as coco with MoCo's R50-C4, 1x; not comparable with coco",
    ),
    _detection(
        "voc-vit-b", "voc", "voc_vit_b", arch="vit_base",
        title="VOC07+12 detection, Faster R-CNN on the simple pyramid of a ViT-B",
        summary="as voc with a ViT-B/16, ViTDet's simple pyramid and AdamW; our settings",
    ),
    _detection(
        "voc-deit-s", "voc", "voc_deit_s", arch="deit_small",
        title="VOC07+12 detection, Faster R-CNN on the simple pyramid of a DeiT-S",
        summary="as voc with a DeiT-S/16, ViTDet's simple pyramid and AdamW; our settings",
    ),
    _detection(
        "coco-vit-b", "coco", "coco_vit_b", arch="vit_base",
        title="COCO detection and instance segmentation, Mask R-CNN on the simple pyramid of a ViT-B",
        summary="as coco with a ViT-B/16, ViTDet's simple pyramid and AdamW; our settings",
    ),
    _detection(
        "coco-deit-s", "coco", "coco_deit_s", arch="deit_small",
        title="COCO detection and instance segmentation, Mask R-CNN on the simple pyramid of a DeiT-S",
        summary="as coco with a DeiT-S/16, ViTDet's simple pyramid and AdamW; our settings",
    ),
    _detection(
        "voc-frozen", "voc", "voc_frozen", canary=canaries.VOC, typed="voc", variant_of="voc", option="--frozen",
        title="VOC07+12 detection on a frozen R50, Faster R-CNN FPN",
        summary="FPN and heads trained alone, a quarter of the iterations",
    ),
    _detection(
        "coco-frozen", "coco", "coco_frozen", canary=canaries.COCO, typed="coco", variant_of="coco", option="--frozen",
        title="COCO detection and instance segmentation on a frozen R50, Mask R-CNN FPN",
        summary="FPN and heads trained alone, a quarter of the iterations",
    ),
    _detection(
        "demo-voc", "digits", "demo_voc", "box_ap50", arch="resnet18", suite="demo", canary=canaries.DEMO_VOC,
        title="Digits detection, Faster R-CNN R18-FPN",
        summary="Faster R-CNN R18-FPN on the embedded digits, CPU, half a minute per trial",
    ),
    _detection(
        "demo-voc-frozen", "digits", "demo_voc_frozen", "box_ap50", arch="resnet18", suite="demo",
        typed="demo-voc", variant_of="demo-voc", option="--frozen",
        title="Digits detection on a frozen R18, Faster R-CNN FPN",
        summary="FPN and heads trained alone, three quarters of the iterations",
    ),
    _detection(
        "demo-coco", "digits", "demo_coco", "mask_ap50", arch="resnet18", suite="demo",
        title="Digits detection and instance segmentation, Mask R-CNN R18-FPN",
        summary="Mask R-CNN R18-FPN on the embedded digits, CPU, half a minute per trial",
    ),
    _segmentation(
        "seg-voc", "seg-voc", "voc", typed="voc", suite="paper",
        canary=canaries.below(67.5, "table 6, MoCo v2,", "train_cfg.max_iters=1000"),
        title="VOC12 segmentation, FCN-FPN R50",
        summary="FCN-FPN R50, VOC12 train + SBD (10,582 images) -> val (1,449), crop 512, 20k iterations at batch 16",
    ),
    _segmentation(
        "seg-cityscapes", "cityscapes", "cityscapes", protocol_version=2, typed="cityscapes", suite="paper",
        canary=canaries.below(73.8, "table 6, DINO,", "train_cfg.max_iters=1000"),
        title="Cityscapes segmentation, FCN-FPN R50",
        summary="FCN-FPN R50, train_fine (2,975) -> val (500), crop 769, 40k iterations at batch 8, sliding windows",
    ),
    _segmentation(
        "demo-seg", "digits", "demo", typed="demo", arch="resnet18", suite="demo", canary=canaries.DEMO_SEG,
        title="Digits segmentation, FCN-FPN R18",
        summary="FCN-FPN R18 on the embedded digits, CPU, half a minute per trial",
    ),
    *_segmentation_of_any("voc", "seg-voc", "VOC12"),
    *_segmentation_of_any("cityscapes", "cityscapes", "Cityscapes"),
    _segmentation(
        "seg-voc-frozen", "seg-voc", "voc_frozen", typed="voc", variant_of="seg-voc", option="--frozen",
        title="VOC12 segmentation on a frozen R50, linear head",
        summary="a linear head on the stages of the frozen backbone, in minutes",
    ),
    _segmentation(
        "seg-cityscapes-frozen", "cityscapes", "cityscapes_frozen", protocol_version=2, typed="cityscapes",
        variant_of="seg-cityscapes", option="--frozen", title="Cityscapes segmentation on a frozen R50, linear head",
        summary="a linear head on the stages of the frozen backbone, in minutes",
    ),
    _segmentation(
        "demo-seg-frozen", "digits", "demo_frozen", typed="demo", arch="resnet18", suite="demo",
        variant_of="demo-seg", option="--frozen",
        title="Digits segmentation on a frozen R18, linear head",
        summary="a linear head on the stages of the frozen backbone, in seconds",
    ),
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
        "demo-linear", "cls-digits", "demo_linear", protocol_version=4, suite="demo",
        title="Digits, linear classification on frozen features", summary="logistic regression on frozen features",
    ),
    _classification(
        "demo-heads", "cls-digits", "demo_heads", suite="demo",
        title="Digits, linear classification by SGD heads", summary="linear heads by SGD on the frozen backbone",
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
            summary="the 20 nearest training images vote, on frozen features; nothing is drawn: one trial",
        )
        for name, dataset, config, title in (
            ("demo", "cls-digits", "demo_knn", "Digits"), ("imagenet", "imagenet", "knn", "ImageNet"),
            ("folder", "folder", "knn", "Own images"),
        )
    ),
    *_parts_of_labels("demo", "cls-digits", "Digits", "demo", suite="demo"),
    *_parts_of_labels("imagenet", "imagenet", "ImageNet", "imagenet", suite="paper"),
    *_parts_of_labels("folder", "folder", "Own images", "imagenet"),
    _clustering(
        "demo-cluster", "cls-digits", "demo_cluster", protocol_version=3, typed="demo", suite="demo",
        title="Digits, unsupervised classification", summary="the embedded digits",
    ),
    _clustering(
        "demo-kmeans", "cls-digits", "demo_kmeans", typed="demo", variant_of="demo-cluster", option="--kmeans",
        title="Digits, k-means on frozen features", summary="k-means for all",
    ),
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
