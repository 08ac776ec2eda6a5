"""Own data as people have them: what is read is read right, and all else is a sentence before anything is trained."""

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
from PIL import Image
from pycocotools import mask as mask_utils

from tests.integration.test_own_detection import trial_on
from tests.own_boxes import make_coco
from tests.own_masks import make_masks
from tests.unit.test_detection_files import Oracle
from transfer import datasets
from transfer.doctor.check import examine
from transfer.doctor.files import check_image
from transfer.doctor.findings import Findings
from transfer.doctor.own_data import completed
from transfer.tasks.detection.coco_files import read_coco, run_lengths
from transfer.tasks.detection.config import resolve_config
from transfer.tasks.detection.data import load_test_dicts, load_train_dicts, remarks_on_data
from transfer.tasks.detection.evaluate import evaluate
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("own_cache")

Content = dict[str, Any]
Edit = Callable[[Content], object]
ORIENTATION = 0x0112


@pytest.fixture
def coco(digits: Path, tmp_path: Path) -> Path:
    return make_coco(digits, tmp_path / "shapes")


def edit_coco(root: Path, edit: Edit) -> None:
    for folder in ("train", "valid"):
        path = root / folder / "_annotations.coco.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))


def each_object(**values: Any) -> Edit:
    return lambda content: [each.update(values) for each in content["annotations"]]


def first_object(**values: Any) -> Edit:
    return lambda content: content["annotations"][0].update(values)


def sentences(name: str, root: Path) -> list[str]:
    """All that is said of own data that are refused."""
    try:
        return examine(completed(datasets.get(name), root), root).sentences()
    except UserError as error:
        return [str(error)]


def ids_as_text(content: Content) -> None:
    for kind in ("images", "categories", "annotations"):
        for each in content[kind]:
            each["id"] = f"{kind} {each['id']}"
    for each in content["annotations"]:
        each["image_id"], each["category_id"] = f"images {each['image_id']}", f"categories {each['category_id']}"
        each["iscrowd"], each["area"] = str(each["iscrowd"]), None


def below_zero(content: Content) -> None:
    for each in content["annotations"]:
        each["id"], each["area"], each["category_id"] = -each["id"], float("nan"), float(each["category_id"])
        each["iscrowd"] = None if not each["iscrowd"] else True
    content["categories"][0]["name"] += " "


def twice(content: Content) -> None:
    content["annotations"] += [each | {"id": 10**6 + each["id"]} for each in content["annotations"]]


def corners(content: Content) -> None:
    for each in content["annotations"]:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x / 2, y / 2, min(x + width, 127 - x / 2), min(y + height, 127 - y / 2)]


def spelled_twice(content: Content) -> None:
    category = content["categories"][0]
    content["categories"].append({"id": 77, "name": f"{category['name'].upper()} "})
    next(each for each in content["annotations"] if each["category_id"] == category["id"])["category_id"] = 77


@pytest.mark.parametrize("edit", [ids_as_text, below_zero])
def test_whatever_the_ids_are_the_truth_scores_a_hundred(edit: Edit, coco: Path) -> None:
    edit_coco(coco, edit)
    assert sentences("own-coco", coco) == []
    cfg = resolve_config(trial_on("own-coco", coco)).clone()
    cfg.defrost()
    cfg.MODEL.MASK_ON = False
    cfg.DATALOADER.NUM_WORKERS = 0
    assert load_train_dicts(cfg, coco) and len(cfg.OWN.CLASSES) == 10
    metrics, _ = evaluate(cfg, Oracle(load_test_dicts(cfg, coco)), coco, progress=lambda done, total: None)
    assert metrics == pytest.approx({"box_ap": 100, "box_ap50": 100, "box_ap75": 100})
    assert any("annotations whose ids are missing or no whole numbers" in each for each in remarks_on_data(cfg, coco))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (twice, r"[\d,]+ objects with the class and box of another in train/_annotations"),
        (corners, r"of train/_annotations.coco.json \(not around their masks\).*x, y, width, height"),
        (spelled_twice, r"the classes '(\w+)' and '\w+' of .* differ by case, spaces or signs alone"),
        (first_object(bbox=["4", 5, 6, 7]), r"bbox of annotation \d+ is \['4', 5, 6, 7\], not four numbers"),
        (first_object(bbox=None), r"bbox of annotation \d+ is None, not four numbers"),
        (first_object(iscrowd="maybe"), r"iscrowd of annotation \d+ is 'maybe', neither 0 nor 1"),
        (first_object(segmentation=[4, 5, 6, 7, 8, 9]), r"broken masks of objects \(2\): annotation \d+ in"),
        (first_object(segmentation=[[4, 5, float("nan"), 7, 8, 9]]), r"broken masks of objects \(2\)"),
        (first_object(segmentation=[[900, 5, 999, 7, 950, 9]]), r"broken masks of objects \(2\)"),
        (first_object(segmentation=[[4, 5, True, 7, 8, 9]]), r"broken masks of objects \(2\)"),
        (first_object(segmentation=[[4, 5, 10**400, 7, 8, 9]]), r"cannot be read.*OverflowError"),
        (first_object(segmentation={"size": [128, 128], "counts": "zzz]]]qq"}), r"broken masks of objects \(2\)"),
        (
            first_object(segmentation={"size": [128, 128], "counts": [128 * 128 + 1, -1]}, area=None),
            r"broken masks of objects \(2\)",
        ),
        (
            lambda content: [each.update(bbox=[v / 128 for v in each["bbox"]]) for each in content["annotations"]],
            r"all of train/_annotations.coco.json \(in fractions of the image's size, not pixels\)",
        ),
        (lambda content: content["images"][0].pop("file_name"), r"image of id \d+ has no file_name"),
        (lambda content: content["images"][1].pop("width"), r"the width of \d+\.jpg is None, not a whole number"),
        (
            lambda content: content["images"][1].update(file_name=content["images"][0]["file_name"]),
            r"listed more than once \(2\): train/\d+\.jpg in train/_annotations",
        ),
        (lambda content: content["categories"][0].update(name=None), r"the category of id \d+ has no name"),
        (
            lambda content: content["categories"][0].update(id=content["categories"][1]["id"]),
            r"several categories have the id \d+",
        ),
        (lambda content: content.pop("categories"), r"is not of COCO's form \(no categories\)"),
    ],
)
def test_what_coco_files_lack_is_named(edit: Edit, says: str, coco: Path) -> None:
    edit_coco(coco, edit)
    assert any(re.search(says, each) for each in sentences("own-coco", coco)), sentences("own-coco", coco)


def test_training_without_an_object_that_counts_is_a_sentence(coco: Path) -> None:
    edit_coco(coco, each_object(iscrowd=1))
    with pytest.raises(UserError, match=r"own_train below .* has no image with an object that counts"):
        load_train_dicts(resolve_config(trial_on("own-coco", coco)), coco)


def test_compressed_run_lengths_are_those_of_pycocotools() -> None:
    draw = np.random.default_rng(0)
    for density in (0.02, 0.5, 0.98):
        mask = np.asfortranarray(draw.random((40, 90)) < density)
        mask[5:30, 20:70] = True  # runs of several characters, and differences below 0
        flat = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel("F")]).astype(int)))
        lengths = np.diff([0, *flat, mask.size]).tolist()
        assert run_lengths(mask_utils.encode(mask.astype(np.uint8))["counts"].decode()) == lengths


def test_areas_of_masks_that_cannot_be_read_are_the_boxs(coco: Path) -> None:
    edit_coco(coco, first_object(area="large", bbox=[1, 2, 3, 4], segmentation={"size": [9], "counts": [-1]}))
    content, _ = read_coco(coco / "train/_annotations.coco.json")
    assert content["annotations"][0]["area"] == 12


# ---- VOC's layout -----------------------------------------------------------------------------------


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    for split, name in (("train", "a"), ("val", "b")):
        for path, text in (
            (f"ImageSets/Main/{split}.txt", name),
            (
                f"Annotations/{name}.xml",
                "<annotation><size><width>9</width><height>9</height></size><object><name>cat</name>"
                "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object></annotation>",
            ),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        (root / "JPEGImages").mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(root / f"JPEGImages/{name}.jpg")
    return root


def test_sound_files_in_vocs_layout_pass(voc: Path) -> None:
    assert sentences("own-voc", voc) == []


@pytest.mark.parametrize(
    ("path", "edit", "says"),
    [
        ("ImageSets/Main/train.txt", lambda text: text.encode("utf-16"), "train.txt is no text"),
        ("ImageSets/Main/train.txt", lambda text: b"JPEGImages/a.jpg", r"no file .*/Annotations/JPEGImages/a.jpg.xml"),
        ("ImageSets/Main/val.txt", lambda text: b"", r"val.txt names no annotated image \(no name in it\)"),
        ("Annotations/b.xml", lambda text: b"<?xml version='1.0' encoding='foo'?>" + text.encode(), "unknown encoding"),
        ("Annotations/b.xml", lambda text: text.replace("cat", " ").encode(), "b.xml: a name is empty"),
        (
            "Annotations/b.xml",
            lambda text: re.sub(r"(<[xy]m\w+>)(\d)", r"\g<1>0.\2", text).encode(),
            r"cat in Annotations/b.xml \(in fractions of the image's size",
        ),
    ],
)
def test_what_vocs_files_lack_is_named(path: str, edit: Callable[[str], bytes], says: str, voc: Path) -> None:
    (voc / path).write_bytes(edit((voc / path).read_text()))
    assert any(re.search(says, each) for each in sentences("own-voc", voc)), sentences("own-voc", voc)


# ---- masks and images -------------------------------------------------------------------------------


def resave(path: Path, form: str, suffix: str = ".png", mode: str | None = None, orientation: int = 1) -> None:
    with Image.open(path) as image:
        image.load()
    path.unlink()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.convert(mode or image.mode).save(
        path.with_suffix(suffix), form, **({"exif": exif} if orientation > 1 else {})
    )


def all_masks_as_jpeg(root: Path) -> None:
    for path in root.glob("masks/*/*.png"):
        resave(path, "JPEG")


def second_image_of_a_mask(root: Path) -> None:
    Image.open(root / "images/train/0.png").save(root / "images/train/0.jpg")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda root: resave(root / "masks/train/1.png", "PNG", mode="RGB"), "some masks of .* hold ids .* and some"),
        (all_masks_as_jpeg, r"no mask of .* can be read, the first is .*0.png \(it is a JPEG"),
        (second_image_of_a_mask, r"masks/train/0.png, of several images"),
        (lambda root: resave(root / "masks/train/1.png", "TIFF", ".tif", orientation=3), "a TIFF with an orientation"),
        (
            lambda root: resave(root / "images/train/1.png", "TIFF", ".tif", orientation=2),
            r"images/train/1.tif \(a TIFF that libraries turn",
        ),
        (lambda root: resave(root / "images/train/1.png", "TGA"), r"1.png \(its format is TGA, whatever its name says"),
    ],
)
def test_what_would_be_read_in_several_ways_is_refused(
    damage: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    root = make_masks(tmp_path / "leaves")
    damage(root)
    assert any(re.search(says, each) for each in sentences("own-masks", root)), sentences("own-masks", root)


def test_a_damaged_avif_and_a_giant_are_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.effect_noise((64, 48), 90).convert("RGB")
    picture.save(tmp_path / "b.png")
    picture.save(tmp_path / "a.jpg", "AVIF")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content.replace(b"pitm", b"none"))
    findings = Findings(tmp_path)
    check_image(tmp_path / "a.jpg", (64, 48), findings)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    check_image(tmp_path / "b.png", (64, 48), findings)
    (sentence,) = findings.sentences()
    assert re.search(r"cannot be read \(2\): a.jpg.*, b.png \(Image size \(3072 pixels\) exceeds", sentence)
