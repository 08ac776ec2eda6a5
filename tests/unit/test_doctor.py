"""The data doctor: each kind of damage is found and named, sound data pass, and pass quickly the second time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from tests.conftest import run_module
from transfer import benchmarks
from transfer.doctor import check_before_trials, stamp
from transfer.doctor.boxes import VocBoxes, box_problem, check_coco, check_voc
from transfer.doctor.check import examine, no_progress
from transfer.doctor.datasets import DATASETS, VOC_CLASSES, name_of
from transfer.doctor.findings import MAX_NAMES, UNREADABLE_IMAGE, Findings
from transfer.doctor.masks import VocMasks, check_cityscapes
from transfer.doctor.masks import check_voc as check_voc_masks

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


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def save_mask(path: Path, mask: Any) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(mask, dtype=np.uint8)).save(path)


def save_image(path: Path, width: int = 8, height: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (9, 99, 199)).save(path)


def sentences(name: str, root: Path) -> list[str]:
    return examine(name, root).sentences()


def test_sound_data_have_no_findings(copy: Path) -> None:
    assert sentences("digits", copy) == []


def truncate_image(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/JPEGImages/000007.jpg"
    content = path.read_bytes()
    rewrite(path, content[: len(content) // 2])


def empty_coco_image(root: Path) -> None:
    rewrite(sorted((root / "coco/val2017").iterdir())[0], b"")


def remove_image(root: Path) -> None:
    (root / "VOCdevkit/VOC2007/JPEGImages/000008.jpg").unlink()


def remove_folder(root: Path) -> None:
    shutil.rmtree(root / "VOCdevkit/VOC2007/SegmentationClass")


def impossible_label(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/SegmentationClass/000003.png"
    with Image.open(path) as image:
        mask = np.array(image)
    mask[0, 0] = 77
    save_mask(path, mask)


def coloured_mask(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/SegmentationClass/000003.png"
    with Image.open(path) as image:
        coloured = image.convert("RGB")
    path.unlink()
    coloured.save(path)


def smaller_mask(root: Path) -> None:
    save_mask(root / "VOCdevkit/VOC2007/SegmentationClass/000003.png", np.zeros((64, 128)))


def shorten_list(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt"
    rewrite(path, b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))


def repeat_name(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt"
    lines = path.read_bytes().splitlines(keepends=True)
    rewrite(path, b"".join([lines[0], *lines[:-1]]))


def leak(root: Path) -> None:
    folder = root / "VOCdevkit/VOC2007/ImageSets/Main"
    lines = (folder / "trainval.txt").read_bytes().splitlines(keepends=True)
    first_of_test = (folder / "test.txt").read_bytes().splitlines(keepends=True)[0]
    rewrite(folder / "trainval.txt", b"".join([*lines[:-1], first_of_test]))


def edit_xml(old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / "VOCdevkit/VOC2007/Annotations/000005.xml"
        text = path.read_text()
        start = text.index(f"<{old}>")
        end = text.index(f"</{old}>")
        rewrite(path, f"{text[:start]}<{old}>{new}{text[end:]}".encode())

    return edit


def edit_coco(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / "coco/annotations/instances_train2017.json"
        content = json.loads(path.read_text())
        change(content)
        rewrite(path, json.dumps(content).encode())

    return edit


def first(**values: Any) -> Callable[[Path], None]:
    return edit_coco(lambda content: content["annotations"][0].update(values))


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
        (shorten_list, "splits of another size (1): train has 9, not 12"),
        (repeat_name, "names that are listed more than once (1): 000001 in VOCdevkit"),
        (leak, "test images among the training images (1): VOC2007 000201"),
        (edit_xml("xmax", "500"), "broken boxes (1): "),
        (edit_xml("xmin", "127.5"), "(inverted)"),
        (edit_xml("xmin", "nan"), "(not a number)"),
        (edit_xml("xmin", "left"), "annotations that cannot be read (1): VOCdevkit/VOC2007/Annotations/000005.xml"),
        (edit_xml("name", "eleven"), "objects of unknown classes (1): eleven in VOCdevkit"),
        (edit_xml("width", "120"), "images of another size than their annotation or mask says (1): "),
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
    findings = Findings()
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
    findings = Findings()
    check_coco(copy, {"train2017": SIZES["trainval"]}, findings, no_progress, known_empty=[image])
    assert findings.sentences() == []


def test_voc_below_the_data_root_itself_is_found(copy: Path) -> None:
    findings = Findings()
    splits = {"train": (12, [VocBoxes(2007, "trainval")]), "test": (6, [VocBoxes(2007, "test")])}
    check_voc(copy / "VOCdevkit", splits, VOC_CLASSES, findings, no_progress)
    assert [sentence.split(" (")[0] for sentence in findings.sentences()] == ["objects of unknown classes"]


def sbd(root: Path) -> Path:
    """Two images of VOC12 train, one that SBD adds, one of val."""
    home = root / "VOCdevkit/VOC2012"
    lists = {"train": ["2007_000001", "2007_000002"], "aug": ["2008_000003"], "val": ["2007_000004"]}
    for split, names in lists.items():
        path = home / f"ImageSets/Segmentation/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
        for name in names:
            save_image(home / f"JPEGImages/{name}.jpg")
            folder = "SegmentationClassAug" if split == "aug" else "SegmentationClass"
            save_mask(home / f"{folder}/{name}.png", np.full((6, 8), 20))
    return root


def check_sbd(root: Path) -> list[str]:
    findings = Findings()
    train = [VocMasks("train", "SegmentationClass"), VocMasks("aug", "SegmentationClassAug")]
    splits = {"train": (3, train), "test": (1, [VocMasks("val", "SegmentationClass")])}
    check_voc_masks(root, "VOCdevkit/VOC2012", splits, 21, findings, no_progress)
    return findings.sentences()


def test_voc_segmentation_with_sbd(tmp_path: Path) -> None:
    assert check_sbd(sbd(tmp_path)) == []
    home = tmp_path / "VOCdevkit/VOC2012"
    save_mask(home / "SegmentationClassAug/2008_000003.png", np.full((6, 8), 21))
    with (home / "ImageSets/Segmentation/aug.txt").open("a") as file:
        file.write("2007_000004\n")
    found = check_sbd(tmp_path)
    assert "splits of another size (1): train has 4, not 3" in found[0]
    assert any("impossible labels (1): VOCdevkit/VOC2012/SegmentationClassAug/2008_000003.png (21)" in s for s in found)
    assert any(
        "missing files or folders (1): VOCdevkit/VOC2012/SegmentationClassAug/2007_000004.png" in s for s in found
    )
    assert any("test images among the training images (1): 2007_000004" in s for s in found)


def cityscapes(root: Path) -> Path:
    for split, city in {"train": "aachen", "val": "lindau"}.items():
        save_image(root / f"leftImg8bit/{split}/{city}/{city}_000000_000019_leftImg8bit.png")
        save_mask(root / f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_labelTrainIds.png", np.full((6, 8), 18))
    return root


def check_small_cityscapes(root: Path) -> list[str]:
    findings = Findings()
    check_cityscapes(root, {"train": 1, "val": 1}, findings, no_progress)
    return findings.sentences()


def test_cityscapes(tmp_path: Path) -> None:
    assert check_small_cityscapes(cityscapes(tmp_path)) == []
    mask = tmp_path / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelTrainIds.png"
    save_mask(mask, np.full((6, 8), 33))  # a labelId, not a trainId
    assert (
        "impossible labels (1): gtFine/val/lindau/lindau_000000_000019_gtFine_labelTrainIds.png (33)"
        in (check_small_cityscapes(tmp_path)[0])
    )
    mask.unlink()
    assert "missing files or folders (1): gtFine/val/lindau/" in check_small_cityscapes(tmp_path)[0]


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_refused_for_every_data_set_and_the_guide_is_of_its_root(name: str, tmp_path: Path) -> None:
    assert "missing files or folders" in sentences(name, tmp_path)[0]
    assert str(tmp_path) in DATASETS[name].guide.format(root=tmp_path)


def test_benchmarks_with_other_test_images_have_other_names() -> None:
    names = ("voc", "seg-voc", "seg-voc-frozen", "demo-voc", "demo-seg", "demo-linear", "demo-cluster")
    assert [benchmarks.get(name).checked_as for name in names] == [
        "voc", "seg-voc", "seg-voc", "digits", "digits", "cls-digits", "cls-digits",
    ]  # fmt: skip


@pytest.mark.parametrize("benchmark", benchmarks.BENCHMARKS.values(), ids=lambda benchmark: benchmark.name)
def test_the_doctor_knows_the_data_of_every_benchmark(benchmark: benchmarks.Benchmark) -> None:
    name = name_of(benchmark)
    assert name is not None
    assert DATASETS[name].data == benchmark.data
    assert DATASETS[name].detectron2 == (benchmark.task == benchmarks.DETECTION and benchmark.data != "digits")


@pytest.mark.parametrize(
    ("name", "layout", "counts"),
    [
        ("seg-voc", sbd, "test has 1, not 1,449, train has 3, not 10,582"),
        ("cityscapes", cityscapes, "train has 1, not 2,975, val has 1, not 500"),
    ],
)
def test_the_protocols_numbers_of_masks_are_demanded(
    name: str, layout: Callable[[Path], Path], counts: str, tmp_path: Path
) -> None:
    (sentence,) = sentences(name, layout(tmp_path / "data"))
    assert counts in sentence


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
        check_before_trials(DEMO, copy, progress=progress)
    assert read
    shutil.copy(copy / "VOCdevkit/VOC2007/JPEGImages/000008.jpg", copy / "VOCdevkit/VOC2007/JPEGImages/000007.jpg")
    save_mask(copy / "VOCdevkit/VOC2007/SegmentationClass/000003.png", np.zeros((128, 128)))
    check_before_trials(DEMO, copy, progress=progress)
    read.clear()
    check_before_trials(DEMO, copy, progress=progress)
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
    check_before_trials(DEMO, copy, counts=False)
    with pytest.raises(UserError, match="splits of another size"):
        check_before_trials(DEMO, copy)


def test_command_says_all_and_ends_with_two_on_damage_and_zero_without(copy: Path, tmp_path: Path) -> None:
    sound = run_module("transfer.doctor.main", "digits", "--data", copy, cwd=tmp_path)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "is complete and readable" in sound.stdout
    truncate_image(copy)
    impossible_label(copy)
    damaged = run_module("transfer.doctor.main", "digits", "--data", copy, cwd=tmp_path)
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
    result = run_module("transfer.doctor.main", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
