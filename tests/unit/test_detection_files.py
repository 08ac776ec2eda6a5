"""Annotations as people have them: read alike by training and test, so that the truth, fed back, scores 100."""

from __future__ import annotations

import transfer.tasks.detection  # noqa: F401 - makes Detectron2 importable

# isort: split

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.data.datasets.pascal_voc import load_voc_instances
from detectron2.evaluation import PascalVOCDetectionEvaluator
from detectron2.structures import Boxes, BoxMode, Instances
from pycocotools import mask as mask_utils

from tests.few_scenes import make_few_scenes
from transfer import benchmarks
from transfer.tasks.detection.coco_files import read_coco
from transfer.tasks.detection.config import protocol_config
from transfer.tasks.detection.data import (
    load_dicts,
    load_test_dicts,
    load_train_dicts,
    register_dataset,
    remarks_on_data,
)
from transfer.tasks.detection.evaluate import VocEvaluator, evaluate
from twist_common.errors import UserError

HOME = "VOCdevkit/VOC2007"
VOC_TEST, COCO_TEST = "digits_voc_2007_test", "digits_coco_2017_val"


@pytest.fixture
def root(digits: Path, tmp_path: Path) -> Path:
    return make_few_scenes(digits, tmp_path / "data")


def config(name: str, *overrides: object) -> CfgNode:
    cfg = protocol_config(benchmarks.get(name).config_path, device="cpu")
    cfg.merge_from_list(["DATALOADER.NUM_WORKERS", 0, *overrides])
    return cfg


def rewrite(path: Path, content: bytes | str) -> None:
    path.unlink()  # a hard link: the original stays as it is
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def edit_xml(edit: Callable[[str], str], number: int | None = None) -> Callable[[Path], None]:
    """Damage to one test image's annotation, or to all."""

    def damage(root: Path) -> None:
        names = (root / HOME / "ImageSets/Main/test.txt").read_text().split()
        for name in names if number is None else names[number : number + 1]:
            path = root / HOME / f"Annotations/{name}.xml"
            rewrite(path, edit(path.read_text()))

    return damage


def edit_list(edit: Callable[[list[str]], str]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / HOME / "ImageSets/Main/test.txt"
        rewrite(path, edit(path.read_text().split()))

    return damage


def rename(new: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / HOME / "ImageSets/Main/test.txt"
        names = path.read_text().split()
        for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
            (root / HOME / f"{folder}/{names[0]}.{suffix}").rename(root / HOME / f"{folder}/{new}.{suffix}")
        rewrite(path, "\n".join([new, *names[1:]]))

    return damage


def only_difficult(text: str) -> str:
    parts = text.split("<object>")
    return "<object>".join(
        re.sub(r"<difficult>\d", "<difficult>1", part) if "<name>nine</name>" in part else part for part in parts
    )


VOC_FILES = {
    "whole numbers": lambda root: None,
    "float coordinates": edit_xml(lambda text: re.sub(r"<ymin>(\d+)<", r"<ymin>\1.70000076293945<", text, count=1), 3),
    "without difficult, pose and truncated": edit_xml(
        lambda text: re.sub(r"\s*<(difficult|pose|truncated)>.*?</\1>", "", text)
    ),
    "byte-order mark": edit_xml(lambda text: "\ufeff" + text, 0),
    "parts of objects": edit_xml(
        lambda text: text.replace("</object>", "<part><name>head</name><bndbox/></part></object>", 1), 2
    ),
    "two columns": edit_list(lambda names: "".join(f"{name}  1\n" for name in names)),
    "carriage returns": edit_list(lambda names: "".join(f"{name}\r\n" for name in names)),
    "a hash in a name": rename("IMG#0001"),
    "a space and a label in a name": rename("scene 1"),
    "all of a class difficult": edit_xml(only_difficult),
}


class Oracle(torch.nn.Module):
    """Detects what is annotated."""

    def __init__(self, dicts: list[dict[str, Any]]) -> None:
        super().__init__()
        self.by_name = {image["image_id"]: image for image in dicts}

    def forward(self, inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        return [{"instances": detections(self.by_name[image["image_id"]])} for image in inputs]


def detections(image: dict[str, Any], noise: np.random.Generator | None = None) -> Instances:
    objects = [a for a in image["annotations"] if not a.get("iscrowd")]
    boxes = torch.tensor([BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in objects]).reshape(-1, 4)
    found = Instances((image["height"], image["width"]))
    shift = torch.zeros(len(objects), 4) if noise is None else torch.tensor(noise.normal(0, 3, (len(objects), 4)))
    found.pred_boxes = Boxes(boxes + shift)
    found.scores = torch.ones(len(objects)) if noise is None else torch.tensor(noise.random(len(objects)))
    found.pred_classes = torch.tensor([a["category_id"] for a in objects], dtype=torch.int64)
    return found


@pytest.mark.parametrize("damage", VOC_FILES.values(), ids=VOC_FILES)
def test_voc_truth_fed_back_scores_a_hundred(damage: Callable[[Path], None], root: Path) -> None:
    damage(root)
    cfg = config("demo-voc")
    assert load_train_dicts(cfg, root)
    metrics, _ = evaluate(cfg, Oracle(load_test_dicts(cfg, root)), root, progress=lambda done, total: None)
    assert metrics == pytest.approx({"box_ap": 100, "box_ap50": 100, "box_ap75": 100})


def test_a_class_that_cannot_be_found_is_said(root: Path) -> None:
    VOC_FILES["all of a class difficult"](root)
    (remark,) = remarks_on_data(config("demo-voc"), root)
    assert remark.startswith("no test object of nine counts") and remark.endswith("over the other 9 classes")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            lambda text: re.sub(r"<xmin>\d+<", "<xmin>left<", text, count=1),
            r"\.xml: bndbox/xmin is 'left', not a number",
        ),
        (lambda text: text.replace("<name>", "<title>", 1).replace("</name>", "</title>", 1), r"\.xml: no name"),
        (lambda text: text[:-20], r"\.xml: no XML \("),
    ],
)
def test_what_the_test_could_not_read_is_named_before_training(
    edit: Callable[[str], str], says: str, root: Path
) -> None:
    edit_xml(edit, 1)(root)
    with pytest.raises(UserError, match=says):
        load_test_dicts(config("demo-voc"), root)


def test_voc_is_read_and_scored_as_detectron2_does(root: Path) -> None:
    dicts = load_dicts([VOC_TEST], root)
    names = (root / HOME / "ImageSets/Main/test.txt").read_text().split()
    classes = MetadataCatalog.get(register_dataset(VOC_TEST, root)).thing_classes
    theirs = load_voc_instances(str(root.resolve() / HOME), "test", classes)
    assert [image["image_id"] for image in dicts] == names
    for ours, image in zip(dicts, theirs, strict=True):
        plain = [{key: value for key, value in a.items() if key != "difficult"} for a in ours["annotations"]]
        assert {**ours, "annotations": plain} == image

    registered = register_dataset(VOC_TEST, root)
    figures = []
    for scorer in (PascalVOCDetectionEvaluator(registered), VocEvaluator(registered, dicts)):
        noise = np.random.default_rng(0)
        scorer.reset()
        scorer.process(dicts, [{"instances": detections(image, noise)} for image in dicts])
        figures.append(scorer.evaluate()["bbox"])
    assert figures[0] == figures[1]
    assert scorer.outcomes and scorer.outcomes.metrics() == pytest.approx(
        {"box_ap": figures[0]["AP"], "box_ap50": figures[0]["AP50"], "box_ap75": figures[0]["AP75"]}, rel=1e-12
    )
    assert 5 < figures[0]["AP"] < 95


def edit_coco(edit: Callable[[dict[str, Any]], None], *splits: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for split in splits or ("train2017", "val2017"):
            path = root / f"coco/annotations/instances_{split}.json"
            content = json.loads(path.read_text())
            edit(content)
            rewrite(path, json.dumps(content))

    return damage


def each_annotation(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return edit_coco(lambda content: [edit(annotation) for annotation in content["annotations"]])  # type: ignore[arg-type, return-value]


def with_gaps(content: dict[str, Any]) -> None:
    numbers = {category["id"]: 7 * place for place, category in enumerate(content["categories"])}
    for each in content["categories"]:
        each["id"] = numbers[each["id"]]
    for each in content["annotations"]:
        each["category_id"] = numbers[each["category_id"]]
    content["categories"].reverse()
    content["images"].reverse()


def from_zero(content: dict[str, Any]) -> None:
    for number, annotation in enumerate(content["annotations"]):
        annotation["id"] = number


def with_folder(content: dict[str, Any]) -> None:
    for image in content["images"]:
        split = "train2017" if len(content["images"]) > 12 else "val2017"
        image["file_name"] = f"{split}/{image['file_name']}"


COCO_FILES = {
    "as published": lambda root: None,
    "without area": each_annotation(lambda annotation: annotation.pop("area")),
    "without iscrowd": each_annotation(lambda annotation: annotation.pop("iscrowd", None)),
    "category ids with gaps, from 0, unsorted": edit_coco(with_gaps),
    "ids of annotations from 0": edit_coco(from_zero),
    "an annotation to ignore": edit_coco(lambda content: content["annotations"][0].update(ignore=1)),
    "the folder in the file's name": edit_coco(with_folder),
}


@pytest.mark.parametrize("damage", COCO_FILES.values(), ids=COCO_FILES)
def test_coco_truth_fed_back_scores_a_hundred(damage: Callable[[Path], None], root: Path) -> None:
    damage(root)
    cfg = config("demo-coco", "MODEL.MASK_ON", False)
    assert load_train_dicts(cfg, root)
    metrics, _ = evaluate(cfg, Oracle(load_test_dicts(cfg, root)), root, progress=lambda done, total: None)
    assert metrics == pytest.approx({"box_ap": 100, "box_ap50": 100, "box_ap75": 100})


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("without area", r"annotations without an area \(\d+\): the mask's or box's is taken"),
        ("ids of annotations from 0", "an annotation of id 0, which evaluators never match: all are numbered from 1"),
        ("an annotation to ignore", r"annotations to ignore \(1\): they are taken for crowds"),
    ],
)
def test_what_is_read_in_another_way_is_said(case: str, says: str, root: Path) -> None:
    COCO_FILES[case](root)
    (remark,) = remarks_on_data(config("demo-coco"), root)
    assert re.search(says, remark)


def test_areas_of_masks_are_those_of_the_published_file(root: Path) -> None:
    published = json.loads((root / "coco/annotations/instances_val2017.json").read_text())
    COCO_FILES["without area"](root)
    content, _ = read_coco(root / "coco/annotations/instances_val2017.json")
    areas = [annotation["area"] for annotation in content["annotations"]]
    assert areas == pytest.approx([annotation["area"] for annotation in published["annotations"]], rel=0.2, abs=8)


def test_coco_is_read_as_detectron2_does(root: Path) -> None:
    registered = register_dataset(COCO_TEST, root)
    folder = root.resolve() / "coco"
    theirs = load_coco_json(str(folder / "annotations/instances_val2017.json"), str(folder / "val2017"), "theirs")
    assert DatasetCatalog.get(registered) == theirs


def test_run_lengths_are_trained_on_as_bitmasks_or_refused(root: Path) -> None:
    def to_run_lengths(content: dict[str, Any]) -> None:
        size = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                height, width = size[annotation["image_id"]]
                run = mask_utils.merge(mask_utils.frPyObjects(annotation["segmentation"], height, width))
                annotation["segmentation"] = {"size": run["size"], "counts": run["counts"].decode()}

    edit_coco(to_run_lengths, "train2017")(root)
    with pytest.raises(UserError, match=r"masks as run lengths.*INPUT\.MASK_FORMAT=bitmask"):
        load_train_dicts(config("demo-coco"), root)
    cfg = config("demo-coco", "INPUT.MASK_FORMAT", "bitmask")
    image = next(image for image in load_train_dicts(cfg, root) if image["annotations"])
    mapped = DatasetMapper(cfg, is_train=True)(image)
    assert mapped["instances"].gt_masks.tensor.any()
