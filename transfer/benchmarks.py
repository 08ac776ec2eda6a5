"""The table of benchmarks. Adding one touches its module, one line here, its config, its test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import configs
from common.errors import unknown_name

CONFIGS = Path(configs.__path__[0])


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A named protocol.

    Attributes:
        task: module with ``run(trial: transfer.trial.Trial) -> transfer.trial.Outcome``.
        config: file below ``configs/`` that holds the protocol.
        data: name of the data set below the data root.
        protocol_version: raised whenever a result would change by it.
        title: heading in reports.
        main_metric: the figure that is plotted and compared first.
        dataset: row of ``configs/classification/datasets.py`` where many benchmarks share one config; else the
            config says which data it is for.
    """

    name: str
    task: str
    config: str
    data: str
    protocol_version: int
    title: str
    main_metric: str
    num_trials: int = 5
    dataset: str | None = None

    @property
    def config_path(self) -> Path:
        return CONFIGS / self.config

    @property
    def checked_as(self) -> str:
        """What ``tools/check_data.sh`` calls the data set: it has a name for each set of test images."""
        if self.task in (CLASSIFICATION, CLUSTERING):
            row = self.dataset or self.data
            return "cls-digits" if row == "digits" else row
        return "seg-voc" if self.task == SEGMENTATION and self.data == "voc" else self.data


def _table(*benchmarks: Benchmark) -> dict[str, Benchmark]:
    return {benchmark.name: benchmark for benchmark in benchmarks}


DETECTION = "transfer.tasks.detection.task"
SEGMENTATION = "transfer.tasks.segmentation.task"
CLASSIFICATION = "transfer.tasks.classification.task"
CLUSTERING = "transfer.tasks.clustering.task"

# The eleven data sets of classification: name to title and main metric, as their rows say.
ELEVEN = {
    "food101": ("Food-101", "top1"),
    "cifar10": ("CIFAR-10", "top1"),
    "cifar100": ("CIFAR-100", "top1"),
    "sun397": ("SUN397", "top1"),
    "cars": ("Stanford Cars", "top1"),
    "aircraft": ("FGVC Aircraft", "mean_per_class"),
    "voc2007": ("VOC2007 classification", "map11"),
    "dtd": ("DTD", "top1"),
    "pets": ("Oxford-IIIT Pets", "mean_per_class"),
    "caltech101": ("Caltech-101", "mean_per_class"),
    "flowers102": ("Flowers-102", "mean_per_class"),
}

# Names that stand for several benchmarks, on command lines.
GROUPS = {
    "linear11": tuple(f"{name}-linear" for name in ELEVEN),
    "finetune11": tuple(f"{name}-finetune" for name in ELEVEN),
}


def _on_eleven(mode: str, config: str, what: str, protocol_version: int) -> list[Benchmark]:
    """One benchmark for each of the eleven data sets: ``<data set>-<mode>``, all with one config."""
    return [
        Benchmark(
            name=f"{name}-{mode}",
            task=CLASSIFICATION,
            config=config,
            data="voc" if name == "voc2007" else name,
            protocol_version=protocol_version,
            title=f"{title}, {what}",
            main_metric=metric,
            dataset=name,
        )
        for name, (title, metric) in ELEVEN.items()
    ]


def _parts_of_labels(prefix: str, data: str, config: str, title: str) -> list[Benchmark]:
    """Fine-tuning with 1, 10 and 100 % of the labels: ``<prefix>-1pct`` and so on, with a config each."""
    return [
        Benchmark(
            name=f"{prefix}-{part}",
            task=CLASSIFICATION,
            config=config.format(part=part),
            data=data,
            protocol_version=1,
            title=f"{title}, fine-tuning with {what}",
            main_metric="top1",
            dataset=data,
        )
        for part, what in (("1pct", "1 % of the labels"), ("10pct", "10 % of the labels"), ("100pct", "all labels"))
    ]


BENCHMARKS = _table(
    Benchmark(
        name="voc", task=DETECTION, config="detection/voc.yaml", data="voc", protocol_version=1,
        title="VOC07+12 detection, Faster R-CNN R50-FPN", main_metric="box_ap",
    ),
    Benchmark(
        name="coco", task=DETECTION, config="detection/coco.yaml", data="coco", protocol_version=1,
        title="COCO detection and instance segmentation, Mask R-CNN R50-FPN", main_metric="box_ap",
    ),
    Benchmark(
        name="voc-c4", task=DETECTION, config="detection/voc_c4.yaml", data="voc", protocol_version=1,
        title="VOC07+12 detection, Faster R-CNN R50-C4", main_metric="box_ap",
    ),
    Benchmark(
        name="coco-c4", task=DETECTION, config="detection/coco_c4.yaml", data="coco", protocol_version=1,
        title="COCO detection and instance segmentation, Mask R-CNN R50-C4", main_metric="box_ap",
    ),
    Benchmark(
        name="voc-vit-b", task=DETECTION, config="detection/voc_vit_b.yaml", data="voc", protocol_version=1,
        title="VOC07+12 detection, Faster R-CNN on the simple pyramid of a ViT-B", main_metric="box_ap",
    ),
    Benchmark(
        name="voc-deit-s", task=DETECTION, config="detection/voc_deit_s.yaml", data="voc", protocol_version=1,
        title="VOC07+12 detection, Faster R-CNN on the simple pyramid of a DeiT-S", main_metric="box_ap",
    ),
    Benchmark(
        name="coco-vit-b", task=DETECTION, config="detection/coco_vit_b.yaml", data="coco", protocol_version=1,
        title="COCO detection and instance segmentation, Mask R-CNN on the simple pyramid of a ViT-B",
        main_metric="box_ap",
    ),
    Benchmark(
        name="coco-deit-s", task=DETECTION, config="detection/coco_deit_s.yaml", data="coco", protocol_version=1,
        title="COCO detection and instance segmentation, Mask R-CNN on the simple pyramid of a DeiT-S",
        main_metric="box_ap",
    ),
    Benchmark(
        name="voc-frozen", task=DETECTION, config="detection/voc_frozen.yaml", data="voc", protocol_version=1,
        title="VOC07+12 detection on a frozen R50, Faster R-CNN FPN", main_metric="box_ap",
    ),
    Benchmark(
        name="coco-frozen", task=DETECTION, config="detection/coco_frozen.yaml", data="coco", protocol_version=1,
        title="COCO detection and instance segmentation on a frozen R50, Mask R-CNN FPN", main_metric="box_ap",
    ),
    Benchmark(
        name="demo-voc", task=DETECTION, config="detection/demo_voc.yaml", data="digits", protocol_version=1,
        title="Digits detection, Faster R-CNN R18-FPN", main_metric="box_ap50",
    ),
    Benchmark(
        name="demo-voc-frozen", task=DETECTION, config="detection/demo_voc_frozen.yaml", data="digits",
        protocol_version=1, title="Digits detection on a frozen R18, Faster R-CNN FPN", main_metric="box_ap50",
    ),
    Benchmark(
        name="demo-coco", task=DETECTION, config="detection/demo_coco.yaml", data="digits", protocol_version=1,
        title="Digits detection and instance segmentation, Mask R-CNN R18-FPN", main_metric="mask_ap50",
    ),
    Benchmark(
        name="seg-voc", task=SEGMENTATION, config="segmentation/voc.py", data="voc", protocol_version=1,
        title="VOC12 segmentation, FCN-FPN R50", main_metric="miou",
    ),
    Benchmark(
        name="seg-cityscapes", task=SEGMENTATION, config="segmentation/cityscapes.py", data="cityscapes",
        protocol_version=1, title="Cityscapes segmentation, FCN-FPN R50", main_metric="miou",
    ),
    Benchmark(
        name="demo-seg", task=SEGMENTATION, config="segmentation/demo.py", data="digits", protocol_version=1,
        title="Digits segmentation, FCN-FPN R18", main_metric="miou",
    ),
    Benchmark(
        name="seg-voc-vit-b", task=SEGMENTATION, config="segmentation/voc_vit_b.py", data="voc", protocol_version=1,
        title="VOC12 segmentation, FCN on the pyramid of a ViT-B", main_metric="miou",
    ),
    Benchmark(
        name="seg-voc-deit-s", task=SEGMENTATION, config="segmentation/voc_deit_s.py", data="voc", protocol_version=1,
        title="VOC12 segmentation, FCN on the pyramid of a DeiT-S", main_metric="miou",
    ),
    Benchmark(
        name="seg-voc-frozen", task=SEGMENTATION, config="segmentation/voc_frozen.py", data="voc", protocol_version=1,
        title="VOC12 segmentation on a frozen R50, linear head", main_metric="miou",
    ),
    Benchmark(
        name="seg-cityscapes-frozen", task=SEGMENTATION, config="segmentation/cityscapes_frozen.py", data="cityscapes",
        protocol_version=1, title="Cityscapes segmentation on a frozen R50, linear head", main_metric="miou",
    ),
    Benchmark(
        name="demo-seg-frozen", task=SEGMENTATION, config="segmentation/demo_frozen.py", data="digits",
        protocol_version=1, title="Digits segmentation on a frozen R18, linear head", main_metric="miou",
    ),
    *_on_eleven("linear", "classification/linear11.py", "linear classification on frozen features", 1),
    *_on_eleven("finetune", "classification/finetune11.py", "fine-tuning", 1),
    *_on_eleven("finetune-cheap", "classification/finetune11_cheap.py", "fine-tuning, cheap grid", 1),
    Benchmark(
        name="demo-linear", task=CLASSIFICATION, config="classification/demo_linear.py", data="digits",
        protocol_version=2, title="Digits, linear classification on frozen features", main_metric="top1",
        dataset="digits",
    ),
    Benchmark(
        name="demo-heads", task=CLASSIFICATION, config="classification/demo_heads.py", data="digits",
        protocol_version=1, title="Digits, linear classification by SGD heads", main_metric="top1", dataset="digits",
    ),
    Benchmark(
        name="imagenet-linear", task=CLASSIFICATION, config="classification/imagenet_linear.py", data="imagenet",
        protocol_version=1, title="ImageNet, linear classification", main_metric="top1", dataset="imagenet",
    ),
    Benchmark(
        name="folder-linear", task=CLASSIFICATION, config="classification/imagenet_linear.py", data="folder",
        protocol_version=1, title="Own images, linear classification", main_metric="top1", dataset="folder",
    ),
    *_parts_of_labels("demo", "digits", "classification/demo_{part}.py", "Digits"),
    *_parts_of_labels("imagenet", "imagenet", "classification/imagenet_{part}.py", "ImageNet"),
    *_parts_of_labels("folder", "folder", "classification/imagenet_{part}.py", "Own images"),
    Benchmark(
        name="demo-cluster", task=CLUSTERING, config="classification/demo_cluster.py", data="digits",
        protocol_version=2, title="Digits, unsupervised classification", main_metric="nmi", dataset="digits",
    ),
    Benchmark(
        name="demo-kmeans", task=CLUSTERING, config="classification/demo_kmeans.py", data="digits",
        protocol_version=1, title="Digits, k-means on frozen features", main_metric="nmi", dataset="digits",
    ),
    Benchmark(
        name="imagenet-cluster", task=CLUSTERING, config="classification/imagenet_cluster.py", data="imagenet",
        protocol_version=1, title="ImageNet, unsupervised classification", main_metric="nmi", dataset="imagenet",
    ),
    Benchmark(
        name="imagenet-kmeans", task=CLUSTERING, config="classification/imagenet_kmeans.py", data="imagenet",
        protocol_version=1, title="ImageNet, k-means on frozen features", main_metric="nmi", dataset="imagenet",
    ),
    Benchmark(
        name="folder-cluster", task=CLUSTERING, config="classification/imagenet_cluster.py", data="folder",
        protocol_version=1, title="Image folder, unsupervised classification", main_metric="nmi", dataset="folder",
    ),
    Benchmark(
        name="folder-kmeans", task=CLUSTERING, config="classification/imagenet_kmeans.py", data="folder",
        protocol_version=1, title="Image folder, k-means on frozen features", main_metric="nmi", dataset="folder",
    ),
)  # fmt: skip


def get(name: str) -> Benchmark:
    """The benchmark of this name.

    Raises:
        UserError: there is none.
    """
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]
