"""The embedded data, read by the loaders that they are for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twist_common.digits import CLASS_NAMES, generate
from twist_common.digits.build import read_manifest, tree_sha256
from twist_common.digits.voc import VOID


@pytest.fixture(scope="session")
def voc(digits: Path) -> Path:
    return digits / "VOCdevkit" / "VOC2007"


def lines(path: Path) -> list[str]:
    return path.read_text().split()


def test_two_generations_are_byte_identical_and_match_the_manifest(digits: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    manifest = generate(again)
    assert manifest == read_manifest(digits)
    assert manifest["sha256"] == tree_sha256(digits) == tree_sha256(again)
    assert [entry.name for entry in tmp_path.iterdir()] == ["again"]  # no scratch folder is left


def test_detectron2_loads_voc_and_its_boxes_fit_the_masks(voc: Path) -> None:
    from transfer.compat import prepare_detectron2

    prepare_detectron2()
    from detectron2.data.datasets.pascal_voc import load_voc_instances

    for split, expected in (("trainval", 200), ("test", 100)):
        records = load_voc_instances(str(voc), split, CLASS_NAMES)
        assert len(records) == expected
        assert {a["category_id"] for r in records for a in r["annotations"]} == set(range(10))
    record = records[0]
    objects = np.asarray(Image.open(voc / "SegmentationObject" / f"{record['image_id']}.png"))
    for number, annotation in enumerate(record["annotations"], start=1):
        rows, columns = np.nonzero(objects == number)
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert annotation["bbox"] == tight  # one-based inclusive in the file, zero-based here


def test_voc_objects_are_of_each_kind(voc: Path) -> None:
    annotations = [path.read_text() for path in sorted((voc / "Annotations").iterdir())]
    num_objects = [text.count("<object>") for text in annotations]
    assert min(num_objects) >= 3
    assert max(num_objects) <= 7
    num_difficult = sum(text.count("<difficult>1</difficult>") for text in annotations)
    assert 0.02 < num_difficult / sum(num_objects) < 0.2


def test_voc_image_sets_are_disjoint_and_complete(voc: Path) -> None:
    images = sorted(path.stem for path in (voc / "JPEGImages").iterdir())
    for task in ("Main", "Segmentation", "Layout"):
        sets = {name: lines(voc / "ImageSets" / task / f"{name}.txt") for name in ("train", "val", "trainval", "test")}
        assert sorted(sets["train"] + sets["val"]) == sets["trainval"]
        assert sorted(sets["trainval"] + sets["test"]) == images


def test_masks_have_void_borders_and_enough_foreground(voc: Path) -> None:
    shares = []
    for path in sorted((voc / "SegmentationClass").iterdir()):
        image = Image.open(path)
        assert image.mode == "P"
        mask = np.asarray(image)
        assert set(np.unique(mask)) <= {*range(11), VOID}
        foreground = (mask > 0) & (mask != VOID)
        shares.append(foreground.mean())
        # background never touches an object: a void pixel lies between
        down = (foreground[1:] & (mask[:-1] == 0)) | (foreground[:-1] & (mask[1:] == 0))
        across = (foreground[:, 1:] & (mask[:, :-1] == 0)) | (foreground[:, :-1] & (mask[:, 1:] == 0))
        assert not down.any()
        assert not across.any()
        assert 0.01 < (mask == VOID).mean() < 0.2
    # below 7 % of foreground a segmenter learns to answer background everywhere
    assert 0.12 < np.mean(shares) < 0.2


def test_class_and_object_masks_agree(voc: Path) -> None:
    for image_id in lines(voc / "ImageSets" / "Segmentation" / "test.txt")[:10]:
        classes = np.asarray(Image.open(voc / "SegmentationClass" / f"{image_id}.png"))
        objects = np.asarray(Image.open(voc / "SegmentationObject" / f"{image_id}.png"))
        assert ((classes == VOID) == (objects == VOID)).all()
        assert ((classes == 0) == (objects == 0)).all()
        for number in set(np.unique(objects)) - {0, VOID}:
            assert len(np.unique(classes[objects == number])) == 1


@pytest.mark.parametrize(("split", "num_images"), [("train2017", 200), ("val2017", 100)])
def test_pycocotools_reads_polygons_run_lengths_and_crowds(digits: Path, split: str, num_images: int) -> None:
    from pycocotools.coco import COCO

    coco = COCO(str(digits / "coco" / "annotations" / f"instances_{split}.json"))
    assert len(coco.imgs) == num_images == len(list((digits / "coco" / split).glob("*.jpg")))
    assert {category["id"]: category["name"] for category in coco.cats.values()} == dict(enumerate(CLASS_NAMES, 1))
    annotations = list(coco.anns.values())
    crowds = [annotation for annotation in annotations if annotation["iscrowd"]]
    assert len(crowds) == num_images // 10
    for annotation in annotations:
        region = coco.annToMask(annotation)
        assert region.shape == (128, 128)
        # polygons run through the outer pixels' centres: rasterised, they give the region back
        assert float(region.sum()) == pytest.approx(annotation["area"], rel=0.02)
        rows, columns = np.nonzero(region)
        x, y, width, height = annotation["bbox"]
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.allclose(box, [x, y, x + width, y + height], atol=1)
    run_lengths = [a for a in annotations if isinstance(a["segmentation"], dict) and not a["iscrowd"]]
    # Mask R-CNN trains on polygons: among the training objects only crowds are run lengths, as in COCO itself
    assert bool(run_lengths) == (split == "val2017")


def test_detectron2_trains_on_coco_polygons(digits: Path) -> None:
    from transfer.compat import prepare_detectron2

    prepare_detectron2()
    from detectron2.data.datasets.coco import load_coco_json

    root = digits / "coco"
    records = load_coco_json(str(root / "annotations" / "instances_train2017.json"), str(root / "train2017"))
    assert len(records) == 200
    assert all(isinstance(a["segmentation"], list) for r in records for a in r["annotations"] if not a["iscrowd"])


def test_image_folder_holds_every_digit_once(digits: Path) -> None:
    from torchvision.datasets import ImageFolder

    seen: dict[str, set[bytes]] = {}
    for split, per_class in (("train", 400), ("val", 100)):
        folder = ImageFolder(str(digits / "imagefolder" / split))
        assert folder.classes == [str(label) for label in range(10)]
        assert np.bincount(folder.targets).tolist() == [per_class] * 10
        assert folder[0][0].size == (28, 28)
        seen[split] = {np.asarray(image).tobytes() for image, _ in folder}
    assert not seen["train"] & seen["val"]
    assert len(seen["train"] | seen["val"]) == 5000


def test_manifest_counts_what_is_there(digits: Path) -> None:
    counts = json.loads((digits / "manifest.json").read_text())["counts"]
    assert counts["imagefolder/train"] == len(list(digits.glob("imagefolder/train/*/*.png")))
    assert counts["voc/test"] == len(lines(digits / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"))
    assert counts["coco/val2017"] == len(list(digits.glob("coco/val2017/*.jpg")))
