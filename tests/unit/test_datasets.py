"""The eleven data sets: splits as they were written, sealed test images, and one sentence where files are not right."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.classification_fixtures import FIXTURES, Written, assert_as_written
from transfer import benchmarks, datasets
from transfer.datasets import DATASETS
from transfer.rows import LabelledDataset
from transfer.tasks.classification.datasets import list_split, open_splits
from twist_common.errors import UserError

ELEVEN = sorted(FIXTURES)


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Written]]:
    """All eleven, to be read."""
    root = tmp_path_factory.mktemp("eleven")
    return {name: (root / name, write(root / name)) for name, write in FIXTURES.items()}


@pytest.fixture
def fixture(name: str, tmp_path: Path) -> tuple[Path, Written]:
    """One of them, to be damaged."""
    return tmp_path, FIXTURES[name](tmp_path)


@pytest.mark.parametrize("name", ELEVEN)
def test_splits_are_what_was_written(name: str, fixtures: dict[str, tuple[Path, Written]]) -> None:
    root, written = fixtures[name]
    splits = open_splits(datasets.get(name), root)
    assert_as_written(splits.train, written, "train")
    assert (splits.val is not None) == DATASETS[name].official_val == ("val" in written.images)
    if splits.val is not None:
        assert_as_written(splits.val, written, "val")
    assert_as_written(splits.test.open(), written, "test")
    assert splits.test.scorings == [
        {"split": "test", "num_images": len(written.images["test"]), "purpose": "final scoring"}
    ]


@pytest.mark.parametrize("name", ELEVEN)
def test_nothing_of_the_test_is_needed_before_the_seal_is_broken(name: str, fixture: tuple[Path, Written]) -> None:
    root, written = fixture
    for path in written.test_only:
        if name == "caltech101":  # its split is drawn from the names of all images, so that these must stay
            path.write_bytes(b"not to be opened")
        else:
            path.unlink()
    splits = open_splits(datasets.get(name), root)
    assert_as_written(splits.train, written, "train")
    if splits.val is not None:
        assert_as_written(splits.val, written, "val")
    with pytest.raises(UserError):
        splits.test.open().read(0)


@pytest.mark.parametrize("name", ELEVEN)
def test_labels_are_of_the_kind_that_the_metric_needs(name: str, fixtures: dict[str, tuple[Path, Written]]) -> None:
    train = open_splits(datasets.get(name), fixtures[name][0]).train
    assert (train.labels.ndim == 2) == (DATASETS[name].metric == "map11")
    assert train.labels.dtype == (np.int8 if train.labels.ndim == 2 else np.int64)


@pytest.mark.parametrize("name", ELEVEN)
def test_a_missing_list_is_one_sentence_with_what_to_fetch(name: str, fixture: tuple[Path, Written]) -> None:
    root, written = fixture
    for path in written.lists:
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(UserError) as caught:
            open_splits(datasets.get(name), root)
        message = str(caught.value)
        assert "\n" not in message and str(root) in message
        assert DATASETS[name].guide.format(root=root) in message
        path.write_bytes(content)
    open_splits(datasets.get(name), root)


@pytest.mark.parametrize("name", ELEVEN)
def test_a_damaged_list_is_one_sentence_that_names_it(name: str, fixture: tuple[Path, Written]) -> None:
    root, written = fixture
    for path in written.lists:
        content = path.read_bytes()
        for damage in (b"\xff\xfe\x00 no such thing", content[: len(content) // 2] + b"\xff", b""):
            path.write_bytes(damage)
            with pytest.raises(UserError) as caught:
                open_splits(datasets.get(name), root)
            message = str(caught.value)
            assert path.relative_to(root).as_posix() in message and "\n" not in message, message
        path.write_bytes(content)


@pytest.mark.parametrize("name", ELEVEN)
def test_an_empty_folder_is_answered_with_the_guide(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_splits(datasets.get(name), tmp_path)
    assert DATASETS[name].guide.format(root=tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("food101", "food-101"),
        ("dtd", "dtd"),
        ("aircraft", "fgvc-aircraft-2013b/data"),
        ("pets", "oxford-iiit-pet"),
        ("caltech101", "caltech101"),
        ("flowers102", "flowers-102"),
        ("cars", "stanford_cars"),
        ("voc2007", "VOCdevkit/VOC2007"),
        ("cifar10", "cifar-10-batches-py"),
        ("cifar100", "cifar-100-python"),
    ],
)
def test_the_root_may_be_the_unpacked_folder_itself(
    name: str, inner: str, fixtures: dict[str, tuple[Path, Written]]
) -> None:
    root, written = fixtures[name]
    assert_as_written(open_splits(datasets.get(name), root / inner).train, written, "train")


def test_torchvisions_nesting_of_dtd_is_found(tmp_path: Path) -> None:
    written = FIXTURES["dtd"](tmp_path / "dtd")
    assert_as_written(open_splits(datasets.get("dtd"), tmp_path).train, written, "train")


def test_sun397_lists_may_lie_beside_its_images(tmp_path: Path) -> None:
    written = FIXTURES["sun397"](tmp_path)
    for path in (tmp_path / "Partitions").iterdir():
        shutil.move(path, tmp_path / "SUN397")
    assert_as_written(open_splits(datasets.get("sun397"), tmp_path).train, written, "train")
    assert_as_written(open_splits(datasets.get("sun397"), tmp_path / "SUN397").test.open(), written, "test")


def test_flowers_labels_of_test_images_are_not_looked_at_for_training(tmp_path: Path) -> None:
    from scipy.io import loadmat, savemat

    written = FIXTURES["flowers102"](tmp_path)
    home = tmp_path / "flowers-102"
    labels = loadmat(home / "imagelabels.mat")["labels"]
    labels[0, : len(written.images["test"])] = 200  # impossible
    savemat(home / "imagelabels.mat", {"labels": labels})
    splits = open_splits(datasets.get("flowers102"), tmp_path)
    assert_as_written(splits.train, written, "train")
    with pytest.raises(UserError, match="a label is not from 1 to 102"):
        splits.test.open()


def test_an_image_that_is_not_there_or_damaged_is_one_sentence(tmp_path: Path) -> None:
    FIXTURES["pets"](tmp_path)
    train = open_splits(datasets.get("pets"), tmp_path).train
    path = tmp_path / "oxford-iiit-pet/images/Abyssinian_50.jpg"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"cannot read the image .*Abyssinian_50.jpg"):
        train.read(0)
    path.unlink()
    with pytest.raises(UserError, match=r"there is no image .*Abyssinian_50.jpg"):
        train.read(0)


@pytest.mark.parametrize(
    ("name", "path", "old", "new", "why"),
    [
        ("food101", "food-101/meta/train.txt", "waffles/", "burgers/", "the class 'burgers', which does not exist"),
        ("dtd", "dtd/labels/val1.txt", "banded/", "bent/", "the class 'bent', which does not exist"),
        ("sun397", "Partitions/Training_01.txt", "/y/youth", "/y/old", "which does not exist"),
        ("aircraft", "fgvc-aircraft-2013b/data/images_variant_val.txt", "An-12", "An-13", "the class 'An-13'"),
        ("pets", "oxford-iiit-pet/annotations/trainval.txt", " 1 ", " 9 ", "its class numbers have gaps"),
        ("pets", "oxford-iiit-pet/annotations/trainval.txt", " 1 1 1", "", "not a name and a class number"),
        ("voc2007", "VOCdevkit/VOC2007/ImageSets/Main/cat_val.txt", "-1", "-2", "is not an image and -1, 0 or 1"),
        (
            "voc2007",
            "VOCdevkit/VOC2007/ImageSets/Main/cat_val.txt",
            "100000",
            "100099",
            "not list the images of val.txt",
        ),
    ],
)
def test_lists_that_contradict_each_other_are_refused(
    name: str, path: str, old: str, new: str, why: str, tmp_path: Path
) -> None:
    FIXTURES[name](tmp_path)
    (tmp_path / path).write_text((tmp_path / path).read_text().replace(old, new))
    with pytest.raises(UserError) as caught:
        open_splits(datasets.get(name), tmp_path)
    assert path in str(caught.value) and why in str(caught.value)


def test_class_folders_that_differ_between_train_and_test_are_refused(tmp_path: Path) -> None:
    written = Written(("cat", "dog"))
    for folder, split in {"train": "train", "val": "test"}.items():
        for label, name in enumerate(written.classes):
            written.paint(tmp_path / folder / name / "1.png", split, label)
    splits = open_splits(datasets.get("folder"), tmp_path)
    (tmp_path / "val/dog").rename(tmp_path / "val/ape")  # would take label 0
    with pytest.raises(UserError, match=r"have other classes \(only one of them has ape, dog\)"):
        splits.test.open()


def test_an_unsorted_imagenet_val_is_told_how_to_sort_it(tmp_path: Path) -> None:
    written = Written(("n01440764",))
    written.paint(tmp_path / "train/n01440764/n01440764_10026.JPEG", "train", 0)
    written.paint(tmp_path / "val/ILSVRC2012_val_00000001.JPEG", "test", 0)
    with pytest.raises(UserError, match=r"not sorted into folders of classes: .*torchvision.datasets.ImageNet"):
        open_splits(datasets.get("imagenet"), tmp_path).test.open()


def test_rows_agree_with_the_benchmarks_and_with_themselves() -> None:
    for name, row in DATASETS.items():
        assert row.name == name
        assert "{root}" in row.guide
        if isinstance(row, LabelledDataset):
            assert set(row.counts) in ({}.keys(), set(row.splits))
    assert sorted(benchmarks.ELEVEN) == ELEVEN
    for row in benchmarks.BENCHMARKS.values():
        if row.task == benchmarks.CLASSIFICATION:
            assert row.main_metric == row.dataset.metric


@pytest.mark.parametrize("name", ["food101", "dtd", "aircraft", "pets", "cars", "flowers102"])
def test_splits_are_those_of_torchvision_where_it_has_them(
    name: str, fixtures: dict[str, tuple[Path, Written]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets as theirs

    root = fixtures[name][0]
    if name == "dtd":
        (tmp_path / "dtd").symlink_to(root)
        root = tmp_path
    monkeypatch.setattr("torchvision.datasets.flowers102.check_integrity", lambda *_: True)  # MD5 of the real files
    opened = {
        "food101": lambda split: theirs.Food101(root, split),
        "dtd": lambda split: theirs.DTD(root, split),
        "aircraft": lambda split: theirs.FGVCAircraft(root, split),
        "pets": lambda split: theirs.OxfordIIITPet(root, "trainval" if split == "train" else split),
        "cars": lambda split: theirs.StanfordCars(root, split),
        "flowers102": lambda split: theirs.Flowers102(root, split),
    }[name]
    for split in DATASETS[name].splits:
        ours = list_split(datasets.get(name), root, split)
        reference = sorted((label, image.tobytes()) for image, label in opened(split))
        assert sorted((int(label), ours.read(row).tobytes()) for row, label in enumerate(ours.labels)) == reference
