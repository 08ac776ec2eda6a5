"""The data doctor: each kind of damage is found and named, sound data pass, and pass quickly the second time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import run_module
from tests.doctor_damage import (
    coloured_mask,
    edit_coco,
    edit_xml,
    empty_coco_image,
    first,
    impossible_label,
    leak,
    remove_folder,
    remove_image,
    repeat_name,
    rewrite,
    save_mask,
    sentences,
    shorten_list,
    smaller_mask,
    truncate_image,
)
from transfer import benchmarks
from transfer.datasets import DATASETS
from transfer.doctor import stamp
from transfer.doctor.boxes import box_problem, check_coco, check_voc
from transfer.doctor.check import check_dataset
from transfer.doctor.findings import MAX_NAMES, UNREADABLE_IMAGE, Findings
from transfer.layouts import VOC_CLASSES, CocoBoxes, VocBoxes, VocList
from transfer.trial import silent
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("own_cache")

DEMO = benchmarks.get("demo-voc")
SIZES = {"trainval": 12, "test": 6}


@pytest.fixture(scope="module")
def small(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded data with short lists, and a manifest that says so."""
    root = tmp_path_factory.mktemp("small") / "digits"
    shutil.copytree(
        digits, root, ignore=shutil.ignore_patterns("imagefolder", "SegmentationObject"), copy_function=os.link
    )
    for path in root.glob("VOCdevkit/VOC2007/ImageSets/*/*.txt"):
        rewrite(path, b"".join(path.read_bytes().splitlines(keepends=True)[: SIZES.get(path.stem, 0)]))
    for split, number in {"train2017": SIZES["trainval"], "val2017": SIZES["test"]}.items():
        path = root / f"coco/annotations/instances_{split}.json"
        content = json.loads(path.read_text())
        content["images"] = content["images"][:number]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [each for each in content["annotations"] if each["image_id"] in kept]
        rewrite(path, json.dumps(content).encode())
        keep(root / "coco" / split, {Path(image["file_name"]).stem for image in content["images"]})
    listed = [path.read_text().split() for path in root.glob("VOCdevkit/VOC2007/ImageSets/Main/*.txt")]
    for folder in ("Annotations", "JPEGImages", "SegmentationClass"):
        keep(root / "VOCdevkit/VOC2007" / folder, set().union(*listed))
    sizes = {f"voc/{name}": number for name, number in SIZES.items()}
    sizes |= {"coco/train2017": SIZES["trainval"], "coco/val2017": SIZES["test"]}
    rewrite(root / "manifest.json", json.dumps({"counts": sizes}).encode())
    return root


def keep(folder: Path, stems: set[str]) -> None:
    for path in folder.iterdir():
        if path.stem not in stems:
            path.unlink()


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """The small data, to be damaged; files are links until they are written anew."""
    root = tmp_path / "digits"
    shutil.copytree(small, root, copy_function=os.link)
    return root


def test_sound_data_have_no_findings(copy: Path) -> None:
    assert sentences("digits", copy) == []


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncate_image, "images that cannot be read (1): VOCdevkit/VOC2007/JPEGImages/000007.jpg"),
        (empty_coco_image, "images that cannot be read (1): coco/val2017/"),
        (remove_image, "missing files or folders (1): VOCdevkit/VOC2007/JPEGImages/000008.jpg"),
        (remove_folder, "missing files or folders (1): VOCdevkit/VOC2007/SegmentationClass/"),
        (impossible_label, "masks with impossible labels (1): VOCdevkit/VOC2007/SegmentationClass/000003.png (77)"),
        (coloured_mask, "000003.png (its pixels are RGB, not class indices)"),
        (smaller_mask, "JPEGImages/000003.jpg (128 x 128, not 128 x 64)"),
        (shorten_list, "splits of the wrong size (1): train has 9, not 12"),
        (repeat_name, "names that are listed more than once (1): 000001 in VOCdevkit"),
        (leak, "test images among the training images (1): VOC2007 000201"),
        (edit_xml("xmax", "500"), "broken boxes (1): "),
        (edit_xml("xmin", "127.5"), "(inverted)"),
        (edit_xml("xmin", "nan"), "not a number"),
        (edit_xml("xmin", "left"), "annotations that cannot be read (1): VOCdevkit/VOC2007/Annotations/000005.xml"),
        (edit_xml("name", "eleven"), "objects of unknown classes (1): eleven in VOCdevkit"),
        (edit_xml("width", "120"), "images whose size is not what their annotation or mask says (1): "),
        (
            first(bbox=[5, 5, 10, 0]),
            "(1): annotation 100 in coco/annotations/instances_train2017.json (empty)",
        ),
        (first(bbox=[100, 5, 60, 10]), "(outside the image)"),
        (first(category_id=99), "objects of unknown classes (1): annotation 100 in"),
        (first(image_id=9999), "annotations of images that are not listed (1): annotation 100 in"),
        (first(segmentation=[[1, 2, 3, 4]]), "broken masks of objects (1): annotation 100 in"),
        (first(segmentation={"size": [128, 128], "counts": [5, 6]}), "broken masks of objects (1): annotation 100 in"),
        (first(id=101), "names that are listed more than once (1): annotations id 101 in"),
        (edit_coco(lambda content: content.pop("categories")), "annotations that cannot be read (1): coco/annotations"),
        (lambda root: (root / "manifest.json").unlink(), "missing files or folders (1): manifest.json"),
    ],
)
def test_every_damage_is_named_with_where_it_is(damage: Callable[[Path], None], sentence: str, copy: Path) -> None:
    damage(copy)
    found = sentences("digits", copy)
    assert any(sentence in each for each in found), found


def test_a_sentence_names_the_first_few_and_counts_the_rest() -> None:
    findings = Findings(Path("data"))
    for number in range(1200, 0, -1):
        findings.add(UNREADABLE_IMAGE, f"{number:04d}.jpg")
    (sentence,) = findings.sentences()
    assert sentence.startswith("images that cannot be read (1,200): 0001.jpg, 0002.jpg, 0003.jpg, 0004.jpg, 0005.jpg")
    assert f"and {1200 - MAX_NAMES:,} more" in sentence


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ((0, 0, 10, 10), ""),
        ((-1, 0, 11, 10), ""),  # rounded
        ((-2, 0, 10, 10), "outside the image"),
        ((0, 0, 12, 10), "outside the image"),
        ((4, 0, 4, 10), "empty"),
        ((0, 9, 5, 3), "inverted"),
        ((0, float("inf"), 5, 3), "not a number"),
    ],
)
def test_boxes(box: tuple[float, float, float, float], problem: str) -> None:
    assert box_problem(*box, width=10, height=10) == problem


def test_empty_boxes_of_coco_as_published_are_no_damage(copy: Path) -> None:
    first(bbox=[5, 5, 10, 0])(copy)
    image = json.loads((copy / "coco/annotations/instances_train2017.json").read_text())["annotations"][0]["image_id"]
    findings = Findings(copy)
    layout = CocoBoxes(num_train=SIZES["trainval"], num_test=SIZES["test"], known_empty=(image,))
    check_coco(layout, findings, silent)
    assert findings.sentences() == []


def test_voc_below_the_data_root_itself_is_found(copy: Path) -> None:
    findings = Findings(copy / "VOCdevkit")
    layout = VocBoxes(
        class_names=VOC_CLASSES,
        num_train=12,
        num_test=6,
        train=(VocList(2007, "trainval"),),
        test=(VocList(2007, "test"),),
    )
    check_voc(layout, findings, silent)
    assert [sentence.split(" (")[0] for sentence in findings.sentences()] == ["objects of unknown classes"]


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_refused_for_every_data_set_and_the_guide_is_of_its_root(name: str, tmp_path: Path) -> None:
    assert "missing files or folders" in sentences(name, tmp_path)[0]
    assert str(tmp_path) in DATASETS[name].guide.format(root=tmp_path)


def test_benchmarks_with_other_test_images_have_other_names() -> None:
    names = ("voc", "seg-voc", "seg-voc-frozen", "demo-voc", "demo-seg", "demo-linear", "demo-cluster")
    assert [benchmarks.get(name).dataset.name for name in names] == [
        "voc", "seg-voc", "seg-voc", "digits", "digits", "cls-digits", "cls-digits",
    ]  # fmt: skip


@pytest.mark.parametrize("benchmark", benchmarks.BENCHMARKS.values(), ids=lambda benchmark: benchmark.name)
def test_the_doctor_knows_the_data_of_every_benchmark(benchmark: benchmarks.Benchmark) -> None:
    row = benchmark.dataset
    assert DATASETS[row.name] is row
    assert row.in_detectron2_root == (benchmark.task == benchmarks.DETECTION and not row.embedded and not row.is_own)


def test_the_protocols_numbers_of_boxes_are_demanded(copy: Path) -> None:
    assert any("train2017 has 12, not 118,287, val2017 has 6, not 5,000" in s for s in sentences("coco", copy))
    assert any("test has 6, not 4,952, train has 12, not 16,551" in s for s in sentences("voc", copy))


def test_trials_are_refused_on_damaged_data_and_sound_data_are_read_once(copy: Path) -> None:
    read: list[str] = []

    def progress(done: int, total: int, what: str) -> None:
        read.append(what)

    truncate_image(copy)
    impossible_label(copy)
    with pytest.raises(UserError, match=r"images that cannot be read \(1\).*\(1 more kinds .*check_data.sh digits"):
        check_dataset(DEMO.dataset, copy, progress=progress)
    assert read
    shutil.copy(copy / "VOCdevkit/VOC2007/JPEGImages/000008.jpg", copy / "VOCdevkit/VOC2007/JPEGImages/000007.jpg")
    save_mask(copy / "VOCdevkit/VOC2007/SegmentationClass/000003.png", np.zeros((128, 128)))
    check_dataset(DEMO.dataset, copy, progress=progress)
    read.clear()
    check_dataset(DEMO.dataset, copy, progress=progress)
    assert read == []


@pytest.mark.parametrize("part", ["manifest.json", "coco/val2017", "VOCdevkit/VOC2007/Annotations/000005.xml"])
def test_any_change_of_the_files_makes_the_doctor_look_again(part: str, copy: Path) -> None:
    before = stamp.fingerprint(copy, DATASETS["digits"].parts)
    path = copy / part
    assert stamp.fingerprint(copy, DATASETS["digits"].parts) == before
    if path.is_dir():
        sorted(path.iterdir())[0].unlink()
    else:
        rewrite(path, path.read_bytes())  # the same bytes at another time
    assert stamp.fingerprint(copy, DATASETS["digits"].parts) != before


def test_another_number_of_images_passes_only_where_it_was_allowed(copy: Path) -> None:
    shorten_list(copy)
    check_dataset(DEMO.dataset, copy, counts=False)
    with pytest.raises(UserError, match="splits of the wrong size"):
        check_dataset(DEMO.dataset, copy)


def test_command_says_all_and_ends_with_two_on_damage_and_zero_without(copy: Path, tmp_path: Path) -> None:
    sound = run_module("transfer.commands.check_data", "digits", "--data", copy, cwd=tmp_path)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "is complete and readable" in sound.stdout
    truncate_image(copy)
    impossible_label(copy)
    damaged = run_module("transfer.commands.check_data", "digits", "--data", copy, cwd=tmp_path)
    assert damaged.returncode == 2
    lines = damaged.stderr.splitlines()
    assert [line.split(" (")[0] for line in lines[:-1]] == [
        "error: digits: images that cannot be read",
        "error: digits: masks with impossible labels",
    ]
    assert lines[-1].startswith("what to fetch: the embedded digits")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["cocoa"], "did you mean 'coco'"), (["coco", "--data", "nowhere"], "COCO 2017: unpack")],
)
def test_bad_use_is_one_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run_module("transfer.commands.check_data", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
