"""Labelled images in WebDataset shards are those that were written, and lists of labelled images find them."""

from __future__ import annotations

from pathlib import Path

import pytest
import webdataset
from PIL import Image

from transfer import datasets
from transfer.doctor.check import examine
from transfer.tasks.classification.datasets import open_splits
from transfer.tasks.classification.label_list import listed
from twist_common.errors import UserError
from twist_common.shards import INDEX_NAME


def write(shard: Path, paths: list[Path], classes: list[str]) -> None:
    shard.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(shard), encoder=False) as writer:
        for path in paths:
            label = str(classes.index(path.parent.name)).encode()
            writer.write({"__key__": path.stem, "png": path.read_bytes(), "cls": label})


@pytest.fixture(params=["folders of shards", "one folder"])
def shards(request: pytest.FixtureRequest, few_digits: Path, tmp_path: Path) -> Path:
    """The few digits, shuffled into two shards of training images and one of test images."""
    names = {"folders of shards": "{split}/{number}.tar", "one folder": "digits-{split}-{number}.tar"}[request.param]
    for split in ("train", "val"):
        paths = sorted((few_digits / split).rglob("*.png"), key=lambda path: path.stem[::-1])
        for number in range(2 if split == "train" else 1):
            part = paths[number::2] if split == "train" else paths
            write(tmp_path / names.format(split=split, number=number), part, ["0", "1", "7"])
    return tmp_path


def test_shards_hold_the_images_and_labels_of_the_folder(shards: Path, few_digits: Path) -> None:
    for _ in range(2):  # the second time from the index
        splits, expected = open_splits(datasets.get("folder"), shards), open_splits(datasets.get("folder"), few_digits)
        pairs = [(splits.train, expected.train), (splits.test.open(), expected.test.open())]
        for found, folder in pairs:
            assert found.classes == ("0", "1", "2") and len(found) == len(folder) == 30
            assert found.names and folder.names
            rows = {Path(folder.names[row]).stem: row for row in range(len(folder))}
            for row in range(len(found)):
                other = rows[found.names[row]]
                assert found.labels[row] == folder.labels[other]
                assert found.read(row).tobytes() == folder.read(other).tobytes()
    assert list(shards.rglob(INDEX_NAME))


def test_a_list_of_labelled_images_finds_them_in_shards(shards: Path, few_digits: Path) -> None:
    names = sorted(path.name for path in (few_digits / "train").rglob("*.png"))[::3]
    subset = listed(open_splits(datasets.get("folder"), shards).train, names, Path("list.txt"))
    assert [f"{subset.names[row]}.png" for row in range(len(subset))] == names


def test_a_damaged_image_in_a_shard_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    half = (tmp_path / "a.png").read_bytes()[:40]
    (tmp_path / "a.png").unlink()
    for split in ("train", "val"):
        with webdataset.TarWriter(str(tmp_path / f"{split}-0.tar"), encoder=False) as writer:
            writer.write({"__key__": "a", "png": half, "cls": b"0"})
    with pytest.raises(UserError, match=r"train-0\.tar:a"):
        open_splits(datasets.get("folder"), tmp_path).train.read(0)


def test_shards_that_number_images_alike_are_no_leak_and_labels_want_images(few_digits: Path, tmp_path: Path) -> None:
    def said(*labels: int) -> str:
        for split in ("train", "val"):
            with webdataset.TarWriter(str(tmp_path / f"{split}-0.tar"), encoder=False) as writer:
                for number, path in enumerate(sorted((few_digits / split).rglob("*.png"))[: len(labels)]):
                    label = str(labels[number]).encode()
                    writer.write({"__key__": f"{number:06}", "png": path.read_bytes(), "cls": label})
        return " ".join(examine(datasets.get("folder"), tmp_path).sentences())

    assert said(0, 1, 1, 0) == ""
    assert said(-1, -1).startswith("images of a single class")
    with pytest.raises(UserError, match="go up to 3,000,000, but only 2 occur"):
        said(0, 3_000_000)
