"""Own boxes as programs export them: read right, or refused in a sentence that says what to do."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from tests.own_boxes import make_coco
from tests.unit.test_dirty_own_data import Content, Edit, each_object, edit_coco, first_object, sentences
from transfer import datasets
from transfer.doctor.check import examine
from transfer.doctor.own_data import completed
from transfer.tasks.detection.coco_files import image_path, read_coco

NAME = "_annotations.coco.json"


@pytest.fixture
def coco(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_coco(digits, tmp_path / "shapes")


def read(root: Path) -> list[tuple[str, int, list[float]]]:
    """What both files say: image, category and box of each object."""
    found = []
    for folder in ("train", "valid"):
        content, _ = read_coco(root / folder / NAME)
        files = {each["id"]: image_path(root / folder, each["file_name"]) for each in content["images"]}
        assert all(path.is_file() for path in files.values())
        assert {(each["width"], each["height"]) for each in content["images"]} == {(128, 128)}
        found += [(files[each["image_id"]].name, each["category_id"], each["bbox"]) for each in content["annotations"]]
    return found


def text_references(content: Content) -> None:
    for each in content["annotations"]:
        each.update(image_id=str(each["image_id"]), category_id=str(each["category_id"]))
    for each in content["images"]:
        each.update(width=str(each["width"]), height=str(each["height"]))


def windows(content: Content) -> None:
    for each in content["images"]:
        each["file_name"] = f"images\\{each['file_name']}"


@pytest.mark.parametrize("edit", [text_references, windows, each_object(segmentation=[[]])])
def test_what_files_mean_is_read(edit: Edit, coco: Path) -> None:
    truth = read(coco)
    if edit is windows:
        for folder in ("train", "valid"):
            (coco / folder / "images").mkdir()
            for path in (coco / folder).glob("*.jpg"):
                path.rename(path.parent / "images" / path.name)
    edit_coco(coco, edit)
    assert read(coco) == truth
    assert sentences("own-coco", coco) == []


def in_rows(content: Content) -> None:
    """Run lengths along rows in the place of columns."""
    for each in content["annotations"]:
        if isinstance(each["segmentation"], list):
            mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(each["segmentation"], 128, 128))).ravel()
            ends = [*np.flatnonzero(np.diff(mask, prepend=0)).tolist(), mask.size]
            each["segmentation"] = {"size": [128, 128], "counts": np.diff(ends, prepend=0).tolist()}


def bytes_as_text(content: Content) -> None:
    for each in content["annotations"]:
        if isinstance(each["segmentation"], list):
            packed = mask_utils.merge(mask_utils.frPyObjects(each["segmentation"], 128, 128))
            each["segmentation"] = {"size": packed["size"], "counts": str(packed["counts"])}


def percent(content: Content) -> None:
    for each in content["images"]:
        each["width"] = each["height"] = 1280
    for each in content["annotations"]:
        each.update(bbox=[value / 128 * 100 for value in each["bbox"]], segmentation=[])


def mostly_fractions(content: Content) -> None:
    for each in content["annotations"]:
        each.update(bbox=[value / 128 for value in each["bbox"]] if each["id"] % 100 else each["bbox"], segmentation=[])


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (in_rows, r"of train/_annotations.coco.json \(not around their masks\)"),
        (bytes_as_text, r"^broken masks of objects \(\d+\): annotation"),
        (percent, r"all of train/_annotations.coco.json \(in percent of the image's size"),
        (mostly_fractions, r"\d+ of train/_annotations.coco.json \(in fractions of the image's size"),
        (first_object(segmentation=[[1, 2, 3, 4]]), r"broken masks .*; give polygons of three corners or more"),
        (first_object(image_id=987654), r"images that are not listed \(2\).*; list these images, or remove"),
        (
            lambda content: content["images"][0].update(height=0),
            r"the height of \d+\.jpg is 0, not a whole number above 0",
        ),
        (lambda content: content.update(annotations={"1": {}}), r"its annotations are no list of objects"),
        (lambda content: content["images"].append(None), r"its images are no list of objects"),
        (
            lambda content: (
                content["categories"][0].update(name="é"),
                content["categories"][1].update(name="e\u0301"),
            ),
            r"the classes .* differ by case, spaces or signs alone",
        ),
        (
            lambda content: [each.update(file_name=f"/home/me/{each['file_name']}") for each in content["images"]],
            r"no image of .* \(the first is /home/me/0+1\.jpg\) is in .*, where train/0+1\.jpg is: correct file_name",
        ),
    ],
)
def test_what_exports_get_wrong_is_named(edit: Edit, says: str, coco: Path) -> None:
    edit_coco(coco, edit)
    assert any(re.search(says, each) for each in sentences("own-coco", coco)), sentences("own-coco", coco)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (gzip.compress, "packed by gzip: unpack it"),
        (lambda raw: b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (lambda raw: b"", "it is empty"),
        (lambda raw: b"[1]", "it is a JSON list, not an object"),
        (lambda raw: raw.replace(b'"zero"', '"zéro"'.encode("latin-1")), "its text is not UTF-8"),
    ],
)
def test_a_file_that_is_something_else_is_named(damage: Callable[[bytes], bytes], says: str, coco: Path) -> None:
    path = coco / "train" / NAME
    path.write_bytes(damage(path.read_bytes()))
    (sentence,) = sentences("own-coco", coco)
    assert re.search(rf"{NAME} is not of COCO's form \(.*{says}", sentence)


def test_files_may_be_called_training_and_validation(coco: Path) -> None:
    for split, name in (("train", "training"), ("valid", "validation")):
        (coco / split / NAME).rename(coco / split / f"instances_{name}.json")
    assert sentences("own-coco", coco) == []


def test_a_first_image_that_is_missing_is_a_finding_and_lone_images_are_noted(coco: Path) -> None:
    edit_coco(coco, each_object(image_id=json.loads((coco / "train" / NAME).read_text())["images"][0]["id"]))
    (coco / "valid" / NAME).write_text((coco / "train" / NAME).read_text())
    shutil.copytree(coco / "train", coco / "valid", dirs_exist_ok=True)
    (coco / "valid/000000000001.jpg").unlink()
    findings = examine(completed(datasets.get("own-coco"), coco), coco)
    assert any("missing files or folders (1): valid/000000000001.jpg" in each for each in findings.sentences())
    assert any(re.search(r"images of train/.* without an object \(11\)", each) for each in findings.notes())


def test_boxes_in_a_corner_of_all_images_are_noted(coco: Path) -> None:
    edit_coco(
        coco,
        lambda content: [
            each.update(bbox=[value / 2 for value in each["bbox"]], segmentation=[]) for each in content["annotations"]
        ],
    )
    findings = examine(completed(datasets.get("own-coco"), coco), coco)
    assert findings.sentences() == [] and any("in the upper left of their images" in each for each in findings.notes())


# ---- VOC's layout -----------------------------------------------------------------------------------

OBJECT = (
    "<object><name>cat</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def write_voc(root: Path, text: str) -> None:
    for split in ("train", "val"):
        for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / f"ImageSets/Main/{split}.txt").write_text(split)
        (root / f"Annotations/{split}.xml").write_text(text)
        Image.effect_noise((9, 9), 9).save(root / f"JPEGImages/{split}.jpg")


@pytest.mark.parametrize(
    ("size", "boxes", "says"),
    [
        (9, [(2, 2, 5, 6)], r"^$"),
        (0, [(2, 2, 5, 6)], r"its size is 0 x 0, not the image's"),
        (9, [(0, 0, 1, 1)], r"cat in Annotations/train.xml \(in fractions of the image's size"),
        (9, [(2, 2, 5, 6)] * 2, r"1 objects with the class and box of another in train"),
    ],
)
@pytest.mark.parametrize("tag", ["<annotation>", '<annotation xmlns="http://example.org/voc" verified="yes">'])
def test_vocs_files(
    size: int, boxes: list[tuple[int, ...]], says: str, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    objects = "".join(OBJECT.format(*box) for box in boxes)
    write_voc(
        tmp_path / "pets", f"{tag}<size><width>{size}</width><height>{size}</height></size>{objects}</annotation>"
    )
    assert re.search(says, " ".join(sentences("own-voc", tmp_path / "pets")))
