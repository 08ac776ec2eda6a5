"""The data sets that the doctor knows: what is checked, and what to fetch where."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.classification.datasets import DATASETS as CLASSIFICATION_DATASETS
from transfer.benchmarks import Benchmark
from transfer.doctor import boxes, classification, masks
from transfer.doctor.boxes import VocBoxes
from transfer.doctor.files import Progress
from transfer.doctor.findings import MISSING, UNREADABLE_ANNOTATION, Findings
from transfer.doctor.masks import VocMasks
from transfer.tasks.classification.dataset_row import DatasetRow
from transfer.tasks.classification.datasets.voc2007 import VOC_CLASSES

# train2017 as published has one box of height 0 in each of these images (cocodataset/cocoapi, issue 355).
COCO_KNOWN_EMPTY = (200365, 550395)


@dataclass(frozen=True)
class DataSet:
    """A data set in the layout that a benchmark wants.

    Attributes:
        data: name of its folder below the data root of all data sets.
        check: notes what is wrong below its folder.
        parts: folders and files below its folder that are looked at; None: all of them.
        guide: what to fetch, and where it goes.
        detectron2: whether Detectron2's own data root may hold it.
    """

    data: str
    check: Callable[[Path, Findings, Progress], None]
    parts: tuple[str, ...] | None
    guide: str
    detectron2: bool = False


def _check_voc(root: Path, findings: Findings, progress: Progress) -> None:
    # 5,011 + 11,540 images
    splits = {
        "train": (16551, (VocBoxes(2007, "trainval"), VocBoxes(2012, "trainval"))),
        "test": (4952, (VocBoxes(2007, "test"),)),
    }
    boxes.check_voc(root, splits, VOC_CLASSES, findings, progress)


def _check_seg_voc(root: Path, findings: Findings, progress: Progress) -> None:
    # 1,464 + 9,118 images
    train = (VocMasks("train", "SegmentationClass"), VocMasks("aug", "SegmentationClassAug"))
    splits = {"train": (10582, train), "test": (1449, (VocMasks("val", "SegmentationClass"),))}
    masks.check_voc(root, "VOCdevkit/VOC2012", splits, 21, findings, progress)


def _check_coco(root: Path, findings: Findings, progress: Progress) -> None:
    counts = {"train2017": 118287, "val2017": 5000}
    boxes.check_coco(root, counts, findings, progress, known_empty=COCO_KNOWN_EMPTY)


def _check_cityscapes(root: Path, findings: Findings, progress: Progress) -> None:
    masks.check_cityscapes(root, {"train": 2975, "val": 500}, findings, progress)


def _check_digits(root: Path, findings: Findings, progress: Progress) -> None:
    from common.digits.scenes import CLASS_NAMES

    manifest = root / "manifest.json"
    if not manifest.is_file():
        findings.add(MISSING, manifest.name)
        return
    try:
        counts = json.loads(manifest.read_text(encoding="utf-8"))["counts"]
        num_train, num_test = counts["voc/trainval"], counts["voc/test"]
        coco_counts = {split: counts[f"coco/{split}"] for split in ("train2017", "val2017")}
    except (ValueError, KeyError, TypeError):
        findings.add(UNREADABLE_ANNOTATION, manifest.name)
        return
    box_splits = {
        "train": (num_train, (VocBoxes(2007, "trainval"),)),
        "test": (num_test, (VocBoxes(2007, "test"),)),
    }
    mask_splits = {
        "train": (num_train, (VocMasks("trainval", "SegmentationClass"),)),
        "test": (num_test, (VocMasks("test", "SegmentationClass"),)),
    }
    boxes.check_voc(root, box_splits, CLASS_NAMES, findings, progress)
    masks.check_voc(root, "VOCdevkit/VOC2007", mask_splits, 1 + len(CLASS_NAMES), findings, progress)
    boxes.check_coco(root, coco_counts, findings, progress)


DENSE: dict[str, DataSet] = {
    "voc": DataSet(
        data="voc",
        detectron2=True,
        check=_check_voc,
        parts=("VOCdevkit", "VOC2007", "VOC2012"),
        guide=(
            "VOC07+12 detection: unpack VOCtrainval_06-Nov-2007.tar, VOCtest_06-Nov-2007.tar and "
            "VOCtrainval_11-May-2012.tar from the PASCAL VOC site, so that {root}/VOCdevkit/VOC2007 and VOC2012 hold "
            "Annotations, JPEGImages and ImageSets"
        ),
    ),
    "seg-voc": DataSet(
        data="voc",
        check=_check_seg_voc,
        parts=("VOCdevkit",),
        guide=(
            "VOC12 segmentation with SBD: unpack VOCtrainval_11-May-2012.tar from the PASCAL VOC site into {root}, and "
            "SBD's benchmark.tgz from its authors; MMSegmentation's tools/dataset_converters/voc_aug.py makes "
            "SegmentationClassAug/*.png and ImageSets/Segmentation/aug.txt in {root}/VOCdevkit/VOC2012 from it"
        ),
    ),
    "coco": DataSet(
        data="coco",
        detectron2=True,
        check=_check_coco,
        parts=("coco", "annotations", "train2017", "val2017"),
        guide=(
            "COCO 2017: unpack train2017.zip, val2017.zip and annotations_trainval2017.zip from the COCO site, so that "
            "{root} holds train2017, val2017 and annotations"
        ),
    ),
    "cityscapes": DataSet(
        data="cityscapes",
        check=_check_cityscapes,
        parts=("leftImg8bit", "gtFine"),
        guide=(
            "Cityscapes: unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from the Cityscapes site "
            "(with an account) into {root}, then make *_gtFine_labelTrainIds.png with csCreateTrainIdLabelImgs of "
            "cityscapesScripts"
        ),
    ),
    "digits": DataSet(
        data="digits",
        check=_check_digits,
        parts=("manifest.json", "VOCdevkit", "coco"),
        guide="the embedded digits: delete {root} and run tools/demo_data.sh",
    ),
}


def _of_row(row: DatasetRow) -> DataSet:
    """The entry of a classification data set; VOC2007 lies in the folder that detection's VOC has."""

    def check(root: Path, findings: Findings, progress: Progress) -> None:
        classification.check(row, root, findings, progress)

    parts = {"digits": ("imagefolder",), "voc2007": ("VOCdevkit", "VOC2007", "ImageSets", "JPEGImages")}
    data = "voc" if row.name == "voc2007" else row.name
    return DataSet(data=data, check=check, parts=parts.get(row.name), guide=f"{row.title}: {row.guide}")


DATASETS: dict[str, DataSet] = {
    **DENSE,
    # of the digits, detection and segmentation read another part
    **{"cls-digits" if name == "digits" else name: _of_row(row) for name, row in CLASSIFICATION_DATASETS.items()},
}


def name_of(benchmark: Benchmark) -> str | None:
    """The data set that a benchmark is run on, or None if the doctor does not know it."""
    return benchmark.checked_as if benchmark.checked_as in DATASETS else None
