"""Near-duplicates: planted ones are found, others are not; hashes are remembered; the file is what reports read."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests.classification_fixtures import FIXTURES
from tests.conftest import run_module
from tools.bench.photographs import photograph
from transfer import datasets
from transfer.doctor.near_duplicates import hashes
from transfer.doctor.near_duplicates.find import (
    DEFAULT_THRESHOLD,
    MAX_THRESHOLD,
    FoundNearDuplicates,
    find_near_duplicates,
    source_name,
    write,
)
from transfer.doctor.near_duplicates.hamming import CHUNK, nearest
from transfer.doctor.near_duplicates.held_out import hash_test_images
from transfer.doctor.near_duplicates.stored import list_images
from transfer.trial import silent
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("own_cache")

NUM_TRAIN = 30


def photo(seed: int) -> Image.Image:
    return Image.fromarray(photograph(seed, 120, 160))


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of photographs."""
    root = tmp_path_factory.mktemp("data") / "imagenet/train"
    for seed in range(NUM_TRAIN):
        path = root / f"n{seed % 3}/{seed:02d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(seed).save(path, "JPEG", quality=92)
    return root


@pytest.fixture(scope="module")
def tested(pretraining: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with six planted near-duplicates among ten test images that are not."""
    root = tmp_path_factory.mktemp("tested")
    for split in ("train", "val"):
        for name in ("thing", "other"):
            (root / split / name).mkdir(parents=True)
    photo(999).save(root / "train/thing/0.png")
    photo(998).save(root / "train/other/0.png")
    folder = root / "val/thing"
    for seed in range(100, 110):
        photo(seed).save((folder if seed > 100 else root / "val/other") / f"{seed}.jpg")

    def original(seed: int) -> Image.Image:
        with Image.open(pretraining / f"n{seed % 3}/{seed:02d}.JPEG") as image:
            return image.convert("RGB")

    (folder / "copy.jpg").write_bytes((pretraining / "n0/00.JPEG").read_bytes())
    original(1).save(folder / "encoded.jpg", quality=50)
    original(2).resize((80, 60), Image.Resampling.BICUBIC).save(folder / "half.png")
    ImageEnhance.Brightness(original(3)).enhance(1.15).save(folder / "bright.jpg")
    ImageOps.mirror(original(4)).save(folder / "mirrored.jpg")
    original(5).convert("L").save(folder / "grey.jpg")
    return root


def find(tested: Path, pretraining: Path, threshold: int = DEFAULT_THRESHOLD) -> FoundNearDuplicates:
    return find_near_duplicates(datasets.get("folder"), tested, pretraining, threshold, silent)[0]


def test_planted_near_duplicates_are_found_and_nothing_else(tested: Path, pretraining: Path) -> None:
    found = find(tested, pretraining)
    assert (found.test_images, found.training_images) == (16, NUM_TRAIN)
    assert {test: train for test, train, _ in found.examples} == {
        "val/thing/copy.jpg": "n0/00.JPEG",
        "val/thing/encoded.jpg": "n1/01.JPEG",
        "val/thing/half.png": "n2/02.JPEG",
        "val/thing/bright.jpg": "n0/03.JPEG",
        "val/thing/mirrored.jpg": "n1/04.JPEG",
        "val/thing/grey.jpg": "n2/05.JPEG",
    }
    assert (found.near_duplicates, found.exact) == (6, 1)
    assert found.examples[0] == ("val/thing/copy.jpg", "n0/00.JPEG", 0)
    assert all(distance <= DEFAULT_THRESHOLD for _, _, distance in found.examples)


def test_images_of_16_bits_are_hashed_by_what_they_show(tmp_path: Path) -> None:
    found = []
    for seed in (1, 2):
        grey = photo(seed).convert("L")
        wide = np.asarray(grey).astype(np.uint16) * 200 + 3000  # Pillow's own conversion makes it white all over
        for name, image in (("8", grey), ("16", Image.fromarray(wide))):
            image.save(tmp_path / f"{name}.png")
        sixteen, eight = (hashes.hash_stored(item, False) for item in list_images(tmp_path))
        assert eight and sixteen
        assert (eight[0] ^ sixteen[0]).bit_count() <= DEFAULT_THRESHOLD
        found.append(sixteen[0])
    assert (found[0] ^ found[1]).bit_count() > DEFAULT_THRESHOLD


def test_a_larger_threshold_finds_no_fewer(tested: Path, pretraining: Path) -> None:
    counts = [find(tested, pretraining, threshold).near_duplicates for threshold in (0, 2, 4, 8, MAX_THRESHOLD)]
    assert counts == sorted(counts) and 1 <= counts[0] <= 6 <= counts[-1]


def test_the_file_says_what_reports_read_and_nothing_of_this_machine(
    tested: Path, pretraining: Path, tmp_path: Path
) -> None:
    path = write(find(tested, pretraining), tmp_path / "runs")
    assert path == tmp_path / "runs/near-duplicates/folder.json"
    content = json.loads(path.read_text())
    assert content.pop("examples")[0] == ["val/thing/copy.jpg", "n0/00.JPEG", 0]
    assert content == {
        "format": "twist-transfer near-duplicates",
        "version": 1,
        "dataset": "folder",
        "test_images": 16,
        "training_images": NUM_TRAIN,
        "training_source": "imagenet/train",
        "threshold": DEFAULT_THRESHOLD,
        "hash": hashes.HASH,
        "near_duplicates": 6,
        "exact": 1,
    }
    assert str(tmp_path.parent) not in path.read_text()


def test_shards_and_a_flat_folder_give_the_same_as_class_folders(
    tested: Path, pretraining: Path, tmp_path: Path
) -> None:
    expected = find(tested, pretraining)
    (tmp_path / "flat").mkdir()
    with tarfile.open(tmp_path / "train-000.tar", "w") as shard:
        for number, path in enumerate(sorted(pretraining.rglob("*.JPEG"))):
            (tmp_path / "flat" / path.name).write_bytes(path.read_bytes())
            shard.add(path, f"{number:04d}.jpg")
            label = tarfile.TarInfo(f"{number:04d}.cls")
            label.size = 1
            shard.addfile(label, io.BytesIO(b"7"))
    (tmp_path / "shards").mkdir()
    (tmp_path / "train-000.tar").rename(tmp_path / "shards/train-000.tar")
    for folder in ("flat", "shards"):
        found = find(tested, tmp_path / folder)
        assert (found.near_duplicates, found.exact, found.training_images) == (6, 1, NUM_TRAIN)
        assert [example[::2] for example in found.examples] == [example[::2] for example in expected.examples]
    assert found.examples[0][1] == "train-000.tar/0000.jpg"


def test_hashes_are_remembered_until_a_file_changes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        photo(seed).save(folder / f"{seed}.jpg")
    first = hashes.hash_training(list_images(folder), folder, silent)
    path = folder / "1.jpg"
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = hashes.hash_training(list_images(folder), folder, silent)
    np.testing.assert_array_equal(again.plain, first.plain)  # not read again
    np.testing.assert_array_equal(again.digests, first.digests)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    changed = hashes.hash_training(list_images(folder), folder, silent)
    assert changed.readable.tolist() == [True, False, True]
    for file in (tmp_path / "cache").rglob("*.npz"):
        file.write_bytes(b"no archive")
    assert hashes.hash_training(list_images(folder), folder, silent).readable.tolist() == [True, False, True]


def test_what_was_hashed_before_the_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(4):
        photo(seed).save(folder / f"{seed}.jpg")
    monkeypatch.setattr(hashes, "SAVED_EVERY", 2)

    def killed(done: int, total: int, what: str) -> None:
        if done > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hashes.hash_training(list_images(folder), folder, killed)
    reported: list[int] = []
    hashes.hash_training(list_images(folder), folder, lambda done, total, what: reported.append(done))
    assert reported == [3, 4]  # two were known


def test_processes_give_the_same_hashes(pretraining: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = list_images(pretraining)
    in_threads = hashes.hash_test(items, silent)
    monkeypatch.setattr(hashes, "FEW", 0)
    monkeypatch.setattr(hashes, "PART", 7)
    in_processes = hashes.hash_test(items, silent)
    for name in ("plain", "mirrored", "digests", "readable"):
        np.testing.assert_array_equal(getattr(in_processes, name), getattr(in_threads, name))


def test_unreadable_pretraining_images_are_left_out_and_counted(tested: Path, tmp_path: Path) -> None:
    photo(0).save(tmp_path / "good.jpg")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:500])
    found, num_unreadable = find_near_duplicates(datasets.get("folder"), tested, tmp_path, 4, silent)
    assert (found.training_images, num_unreadable) == (1, 1)
    (tmp_path / "good.jpg").unlink()
    with pytest.raises(UserError, match="none of the 1 images"):
        find(tested, tmp_path)


def test_nearest_is_that_of_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**64, CHUNK + 100, dtype=np.uint64)
    base[CHUNK + 50] = base[7]  # a tie: the first counts
    queries = rng.integers(0, 2**64, 19, dtype=np.uint64)
    queries[3] = base[7]
    queries[4] = base[CHUNK + 60] ^ np.uint64(0b101)
    distance, row = nearest(queries, base, silent)
    expected = [[bin(int(query) ^ int(other)).count("1") for other in base] for query in queries]
    assert distance.tolist() == [min(of_query) for of_query in expected]
    assert row.tolist() == [of_query.index(min(of_query)) for of_query in expected]
    assert (distance[3], row[3], distance[4], row[4]) == (0, 7, 2, CHUNK + 60)


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_the_test_images_of_each_of_the_eleven_are_hashed(name: str, tmp_path: Path) -> None:
    written = FIXTURES[name](tmp_path)
    test = hash_test_images(datasets.get(name), tmp_path, silent)
    assert len(test.names) == len(set(test.names)) == len(written.images["test"])
    assert len(np.unique(test.hashes.digests)) == len(test.names)
    assert all((tmp_path / below.partition("#")[0]).is_file() for below in test.names)


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("cls-digits", "imagefolder/val", "imagefolder/val/0/"),
        ("voc", "voc/test", "VOCdevkit/VOC2007/JPEGImages/"),
        ("coco", "coco/val2017", "coco/val2017/"),
    ],
)
def test_the_test_images_of_the_digits_layouts_are_hashed(name: str, count: str, first: str, digits: Path) -> None:
    test = hash_test_images(datasets.get(name), digits, silent)
    assert len(test.names) == json.loads((digits / "manifest.json").read_text())["counts"][count]
    assert test.names[0].startswith(first)


def test_a_source_is_named_without_where_it_lies() -> None:
    assert source_name(Path("/home/someone/data/imagenet/train")) == "imagenet/train"
    assert source_name(Path("/home/someone/photos")) == "photos"


def test_the_command_counts_and_writes_and_refuses_bad_use(tested: Path, pretraining: Path, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        result = run_module("transfer.commands.check_data", "folder", "--data", tested, *arguments, cwd=tmp_path)
        return result.returncode, result.stdout, result.stderr

    (tmp_path / "empty").mkdir()
    for arguments, message in [
        (("--threshold", "3"), "give --pretraining DIR too"),
        (("--pretraining", pretraining, "--threshold", "40"), "--threshold is 40: choose from 0 to 16 bits"),
        (("--pretraining", tmp_path / "empty"), "no images below"),
        (("--pretraining", tmp_path / "nowhere"), "nowhere with pre-training images: give class folders"),
    ]:
        code, _, error = run(*arguments)
        assert code == 2 and message in error and error.count("\n") == 1, error
    assert not (tmp_path / "runs").exists()
    code, output, error = run("--pretraining", pretraining)
    assert (code, error) == (0, "")
    assert "6 of 16 test images of folder have a near-duplicate among 30 images of imagenet/train (1 the same" in output
    assert (tmp_path / "runs/near-duplicates/folder.json").is_file()
