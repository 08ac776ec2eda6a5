"""The data doctor on labelled images: each kind of damage is found in each of the data sets, sound data pass."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.classification_fixtures import FIXTURES, Written
from tests.conftest import run_module
from tests.doctor_damage import sentences
from transfer import benchmarks, datasets
from transfer.datasets import DATASETS as ROWS
from transfer.doctor.check import check_dataset, examine
from transfer.doctor.findings import (
    LEAK,
    MISSING,
    NOT_SORTED,
    OTHER_CLASSES,
    REPEATED,
    UNREADABLE_ANNOTATION,
    WRONG_COUNT,
)
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("own_cache")

ELEVEN = sorted(FIXTURES)
OF_FILES = [name for name in ELEVEN if not name.startswith("cifar")]


@pytest.fixture
def fixture(name: str, tmp_path: Path) -> tuple[Path, Written]:
    root = tmp_path / name
    return root, FIXTURES[name](root)


@pytest.mark.parametrize("name", ELEVEN)
def test_a_fixture_is_sound_but_for_its_numbers(name: str, fixture: tuple[Path, Written]) -> None:
    root, written = fixture
    findings = examine(datasets.get(name), root)
    assert findings.kinds() == {WRONG_COUNT}
    (sentence,) = findings.sentences()
    for split, number in ROWS[name].sizes.items():
        assert f"{split} has {len(written.images[split])}, not {number:,}" in sentence
    if len(written.classes) != ROWS[name].num_classes:
        assert f"train has {len(written.classes)} classes, not {ROWS[name].num_classes}" in sentence


@pytest.mark.parametrize("name", ELEVEN)
def test_every_missing_or_damaged_list_is_named(name: str, fixture: tuple[Path, Written]) -> None:
    root, written = fixture
    of_test = [path for path in written.test_only if path.suffix not in (".jpg", ".JPEG") and "2.txt" not in path.name]
    for path in [*written.lists, *of_test]:
        content = path.read_bytes()
        path.unlink()
        findings = examine(datasets.get(name), root)
        assert MISSING in findings.kinds()
        assert any(path.relative_to(root).as_posix() in sentence for sentence in findings.sentences())
        path.write_bytes(b"\xff\xfe nothing of the kind")
        findings = examine(datasets.get(name), root)
        assert UNREADABLE_ANNOTATION in findings.kinds()
        assert any(f"{path.relative_to(root).as_posix()} (" in sentence for sentence in findings.sentences())
        path.write_bytes(content)
    assert examine(datasets.get(name), root).kinds() == {WRONG_COUNT}


@pytest.mark.parametrize("name", OF_FILES)
def test_images_that_are_missing_or_broken_at_their_end_are_named(name: str, fixture: tuple[Path, Written]) -> None:
    root, _ = fixture
    images = sorted(path for path in root.rglob("*.jpg"))
    broken, missing = images[1], images[-1]
    broken.write_bytes(broken.read_bytes()[:-200])
    if name != "caltech101":  # what is not there is not listed there
        missing.unlink()
    findings = examine(datasets.get(name), root)
    sentences = "\n".join(findings.sentences())
    assert f"images that cannot be read (1): {broken.relative_to(root).as_posix()}" in sentences
    assert (MISSING in findings.kinds()) == (name != "caltech101")
    if name != "caltech101":
        assert f"missing files or folders (1): {missing.relative_to(root).as_posix()}" in sentences


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("food101", "food-101/meta/train.txt", "food-101/meta/test.txt"),
        ("dtd", "dtd/labels/val1.txt", "dtd/labels/test1.txt"),
        ("pets", "oxford-iiit-pet/annotations/trainval.txt", "oxford-iiit-pet/annotations/test.txt"),
        ("sun397", "Partitions/Training_01.txt", "Partitions/Testing_01.txt"),
    ],
)
def test_test_images_among_the_training_images_and_repeated_names_are_found(
    name: str, train: str, test: str, tmp_path: Path
) -> None:
    FIXTURES[name](tmp_path)
    first = (tmp_path / test).read_text().splitlines()[0]
    lines = (tmp_path / train).read_text().splitlines()
    (tmp_path / train).write_text("\n".join([*lines, first, lines[0]]))
    findings = examine(datasets.get(name), tmp_path)
    assert findings.kinds() == {WRONG_COUNT, LEAK, REPEATED}
    leak = next(sentence for sentence in findings.sentences() if sentence.startswith(LEAK.what))
    assert "(1): " in leak and first.strip("/").split()[0] in leak


def folders(root: Path) -> Written:
    written = Written(("cat", "dog"))
    for folder, split in {"train": "train", "val": "test"}.items():
        for label, name in enumerate(written.classes):
            written.paint(root / folder / name / f"{split}.jpg", split, label)
    return written


def test_an_empty_folder_is_told_its_own_layout(tmp_path: Path) -> None:
    (sentence,) = examine(datasets.get("folder"), tmp_path).sentences()
    assert sentence.startswith("missing files or folders (2): train/, val/;")


def test_own_folders_of_any_number_pass(tmp_path: Path) -> None:
    folders(tmp_path)
    assert examine(datasets.get("folder"), tmp_path).sentences() == []


def test_other_classes_in_val_and_classes_without_images_are_found(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "val/dog").rename(tmp_path / "val/ape")
    assert examine(datasets.get("folder"), tmp_path).kinds() == {OTHER_CLASSES}
    shutil.rmtree(tmp_path / "train/cat")
    (tmp_path / "train/cat").mkdir()
    (sentence,) = examine(datasets.get("folder"), tmp_path).sentences()
    assert "classes without an image (1): train/cat/; fill their folders or remove them" in sentence


def test_an_unsorted_val_of_imagenet_is_told_how_to_sort_it(tmp_path: Path) -> None:
    written = Written(("n01440764",))
    root = tmp_path / "imagenet"
    written.paint(root / "train/n01440764/n01440764_10026.JPEG", "train", 0)
    written.paint(root / "val/ILSVRC2012_val_00000001.JPEG", "test", 0)
    assert examine(datasets.get("imagenet"), root).kinds() == {NOT_SORTED, WRONG_COUNT}
    told = run_module("transfer.commands.check_data", "imagenet", "--data", root, cwd=tmp_path)
    assert told.returncode == 2
    assert "not sorted into classes (1): val/" in told.stderr and "train has 1, not 1,281,167" in told.stderr
    assert "torchvision.datasets.ImageNet" in told.stderr


def test_the_digits_are_sound_and_looked_at_once(digits: Path) -> None:
    seen: list[dict[str, int]] = []
    for _ in range(2):
        read: dict[str, int] = {}
        check_dataset(
            benchmarks.get("demo-linear").dataset,
            digits,
            progress=lambda done, total, what, read=read: read.update({what: done}),
        )
        seen.append(read)
    assert seen == [{"images of cls-digits train": 4000, "images of cls-digits val": 1000}, {}]


def test_trials_are_refused_on_damaged_data_and_on_other_numbers_unless_allowed(tmp_path: Path) -> None:
    root = tmp_path / "imagefolder"
    folders(root)
    demo = benchmarks.get("demo-cluster")
    with pytest.raises(UserError, match=r"cls-digits .* splits of the wrong size .*; tools/check_data.sh cls-digits"):
        check_dataset(demo.dataset, tmp_path)
    check_dataset(demo.dataset, tmp_path, counts=False)
    image = root / "train/cat/train.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"train/cat/train.jpg"):
        check_dataset(demo.dataset, tmp_path, counts=False)


def test_commands_of_classification_and_clustering_refuse_damaged_data(tmp_path: Path) -> None:
    folders(tmp_path / "digits/imagefolder")
    for module in ("transfer.commands.transfer_cls", "transfer.commands.cluster"):
        refused = run_module(module, "demo", "random:resnet18", "--data", tmp_path / "digits", cwd=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1 and "splits of the wrong size" in refused.stderr
    assert not (tmp_path / "runs").exists()


def own_images(root: Path) -> Path:
    for split in ("train", "val"):
        for label in range(2):
            for number in range(4):
                path = root / split / f"c{label}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                seed = zlib.crc32(str(path.relative_to(root)).encode())
                Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return root


def test_of_own_images_files_that_are_no_images_are_counted_and_hidden_ones_are_nothing(tmp_path: Path) -> None:
    root = own_images(tmp_path / "own")
    shutil.copytree(root / "train/c0", root / "train/.ipynb_checkpoints")
    for name in ("a.jfif", "b.jfif", "c"):
        (root / "train/c0" / name).touch()
    findings = examine(datasets.get("folder"), root)
    assert not findings.sentences()
    assert findings.notes() == ["files that are left out, by their suffix (2): .jfif 2, none 1"]


def test_classes_that_differ_by_case_or_signs_alone_are_refused_and_letters_are_none(tmp_path: Path) -> None:
    root = own_images(tmp_path / "own")
    for split in ("train", "val"):
        (source, *_) = sorted((root / split).iterdir())
        for name in ("Traffic Light", "traffic_light", "a", "A"):
            shutil.copytree(source, root / split / name)
    (sentence,) = examine(datasets.get("folder"), root).sentences()
    assert "alone (1): 'Traffic Light' and 'traffic_light'; give them one name" in sentence


def test_images_in_several_classes_are_noted(tmp_path: Path) -> None:
    root = own_images(tmp_path / "own")
    shutil.copy(root / "train/c0/0.png", root / "train/c1/copy.png")
    shutil.copy(root / "train/c0/0.png", root / "train/c0/copy.png")
    findings = examine(datasets.get("folder"), root)
    assert not findings.sentences()
    (note,) = findings.notes()
    assert note == ("images that are in several classes, as the same bytes (1): train/c0/0.png and train/c1/copy.png")


def test_a_single_class_and_accents_written_in_two_ways_are_refused(tmp_path: Path) -> None:
    root = own_images(tmp_path / "own")
    for split, name in (("train", "caf\u00e9"), ("val", "cafe\u0301")):
        (root / split / "c0").rename(root / split / name)
    assert any("differ by case, spaces or signs alone (1)" in each for each in sentences("folder", root))
    for path in [*root.glob("*/c*")]:
        if path.name != "c1":
            shutil.rmtree(path)
    (sentence,) = sentences("folder", root)
    assert sentence.startswith("images of a single class (1): train has c1 alone; sort them into a folder for each")


def test_a_link_to_the_folder_that_holds_it_is_no_endless_loop(tmp_path: Path) -> None:
    root = own_images(tmp_path / "own")
    (root / "own").symlink_to(root, target_is_directory=True)
    check_dataset(datasets.get("folder"), root)


def test_remedies_of_own_images_name_no_archive(tmp_path: Path) -> None:
    root = own_images(tmp_path / "own")
    shutil.rmtree(root / "val/c1")
    (root / "train/c0/0.png").write_bytes(b"")
    Image.fromarray(np.ones((8, 8), np.float32)).save(root / "train/c0/1.tif")
    other, unreadable, unusable = sorted(examine(datasets.get("folder"), root).sentences())
    assert other.endswith("give both the same class folders, or remove those")
    assert "train/c0/1.tif (its pixels are F, 32 bits" in unusable
    assert unreadable.endswith("save them again or remove them")


def test_test_images_that_are_among_the_own_training_images_are_counted(tmp_path: Path) -> None:
    root = own_images(tmp_path / "own")
    shutil.copy(root / "train/c0/0.png", root / "val/c0/copy.png")
    done = run_module("transfer.commands.check_data", "folder", "--data", root, cwd=tmp_path)
    assert done.returncode == 0
    assert "1 of 9 test images have a near-duplicate among the training images (1 the same bytes)" in done.stdout
    assert "val/c0/copy.png - c0/0.png" in done.stdout
