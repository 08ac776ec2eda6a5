"""Shards that webdataset wrote are read as the same images in a folder are, and bad ones are named."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

import twist_common.shards
import twist_configs.pretrain
from pretrain.data import shards
from pretrain.data.dataset import TwistDataset, load_steps
from pretrain.data.images import ImageFolderSource
from pretrain.data.listing import count_images
from pretrain.data.order import TrainingOrder
from pretrain.data.shards import ShardSource
from pretrain.recipe import Recipe
from pretrain.train import Args, resolved
from tools.bench.photographs import jpeg, photograph
from twist_common import overrides
from twist_common.errors import UserError
from twist_common.shards import INDEX_NAME, find_shards

NUM_IMAGES = 10
CONTENTS = [jpeg(photograph(index, 30, 40)) for index in range(NUM_IMAGES)]
LABELS = [index // 4 for index in range(NUM_IMAGES)]


def write(path: Path, samples: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path), encoder=False) as writer:
        for sample in samples:
            writer.write(sample)


def sample(index: int, **label: bytes) -> dict[str, Any]:
    return {"__key__": f"{LABELS[index]}/{index:02}", "jpg": CONTENTS[index], **label}


def label(index: int) -> dict[str, bytes]:
    return {"cls": str(LABELS[index]).encode()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of 4, 4 and 2 images."""
    for start in range(0, NUM_IMAGES, 4):
        samples = [sample(index, **label(index)) for index in range(start, min(start + 4, NUM_IMAGES))]
        write(tmp_path / "shards" / f"{start // 4:06}.tar", samples)
    return tmp_path / "shards"


def recipe(*changes: str) -> Recipe:
    small = ["crops.global_size=16", "crops.num_local=0", "data.batch_size=4", "run.num_workers=0"]
    return overrides.apply(twist_configs.pretrain.get("rn50_nomc"), [*small, *changes])


def test_shards_hold_the_images_labels_and_sizes_that_were_written(folder: Path) -> None:
    source = ShardSource(folder)
    assert source.labels.tolist() == LABELS and source.shard_sizes == [4, 4, 2]
    assert [source.read(index) for index in (9, 0, 5, *range(NUM_IMAGES))] == [
        CONTENTS[index] for index in (9, 0, 5, *range(NUM_IMAGES))
    ]
    assert source.name(5) == f"{folder}/000001.tar:1/05"


def test_training_on_shards_sees_what_training_on_a_folder_sees(folder: Path, tmp_path: Path) -> None:
    for index, content in enumerate(CONTENTS):
        path = tmp_path / "images" / "train" / str(LABELS[index]) / f"{index:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    settings = recipe("epochs=2", "data.accumulation=2")
    folder.rename(tmp_path / "train")  # the shards may be in DIR/train, as class folders may
    datasets = [TwistDataset(root, settings) for root in (tmp_path, tmp_path / "images")]
    assert [dataset.shard_sizes for dataset in datasets] == [[4, 4, 2], None]
    loaded = [
        [batch for parts in load_steps(settings, dataset, order, pin_memory=False) for batch in parts]
        for dataset in datasets
        for order in [TrainingOrder(settings, dataset, step=1)]
    ]
    assert len(loaded[0]) == 6
    for ours, expected in zip(*loaded, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours.views, expected.views, strict=True))
        assert torch.equal(ours.labels, expected.labels) and torch.equal(ours.seeds, expected.seeds)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_number_of_processes_that_read_shards_changes_nothing(folder: Path, num_workers: int) -> None:
    settings = recipe("epochs=2", f"run.num_workers={num_workers}")
    dataset = TwistDataset(folder, settings)
    order = TrainingOrder(settings, dataset)
    batches = [batch for (batch,) in load_steps(settings, dataset, order, pin_memory=False)]
    expected = [dataset.__getitems__(keys) for keys in order]
    for got, wanted in zip(batches, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(got.views, wanted.views, strict=True))


def test_labels_may_be_in_json_or_missing(tmp_path: Path) -> None:
    write(tmp_path / "json" / "0.tar", [sample(i, json=json.dumps({"label": LABELS[i]}).encode()) for i in range(10)])
    assert ShardSource(tmp_path / "json").labels.tolist() == LABELS
    write(tmp_path / "none" / "0.tar", [sample(index) for index in range(10)])
    dataset = TwistDataset(tmp_path / "none", recipe())
    assert dataset.labels.tolist() == [0] * 10 and dataset.num_labels == 1
    for number, other in enumerate(({"json": b'{"caption": "a cat"}'}, {"cls": b"-1"})):
        write(tmp_path / f"other{number}" / "0.tar", [sample(index, **other) for index in range(10)])
        assert ShardSource(tmp_path / f"other{number}").labels.tolist() == [0] * 10
    write(tmp_path / "some" / "0.tar", [sample(0, **label(0)), sample(1)])
    with pytest.raises(UserError, match=r"0\.tar:0/01 has no label, but others have"):
        ShardSource(tmp_path / "some")
    for name, bad in {"word": {"cls": b"cat"}, "list": {"json": b"[1]"}}.items():
        write(tmp_path / name / "0.tar", [sample(0, **bad)])
        with pytest.raises(UserError, match=r"0/00\.(cls|json) in .*0\.tar holds no label"):
            ShardSource(tmp_path / name)


def test_index_is_written_once_and_again_when_a_shard_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ShardSource(folder)
    built: list[Path] = []
    samples = twist_common.shards._samples
    monkeypatch.setattr(twist_common.shards, "_samples", lambda shard: (built.append(shard), samples(shard))[1])
    again = ShardSource(folder)
    assert not built and again.sha256 == first.sha256 and torch.equal(again.labels, first.labels)
    assert again.read(7) == CONTENTS[7] and again.name(7) == first.name(7)
    write(folder / "000002.tar", [sample(0, **label(0))])
    changed = ShardSource(folder)
    assert len(built) == 3 and changed.shard_sizes == [4, 4, 1] and changed.sha256 != first.sha256
    (folder / INDEX_NAME).write_bytes(b"half an index")
    assert ShardSource(folder).shard_sizes == [4, 4, 1] and len(built) == 6


def test_index_goes_to_the_other_folder_where_the_data_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != folder and access(path, mode)
    )  # root may anything
    ShardSource(folder, tmp_path / "out")
    assert not (folder / INDEX_NAME).exists() and (tmp_path / "out" / INDEX_NAME).exists()
    monkeypatch.setattr(twist_common.shards, "_build_index", None)
    assert ShardSource(folder, tmp_path / "out").labels.tolist() == LABELS


def test_training_shards_are_told_from_validation_shards_and_from_class_folders(folder: Path) -> None:
    everything = sorted(folder.glob("*.tar"))
    assert find_shards(folder) == everything
    write(folder / "inet-train-000.tar", [sample(0)])
    write(folder / "inet-val-000.tar", [sample(1)])
    assert find_shards(folder) == [folder / "inet-train-000.tar"]
    (folder / "n01440764").mkdir()
    (folder / "n01440764" / "0.jpg").write_bytes(CONTENTS[0])
    assert find_shards(folder) == []
    assert len(ImageFolderSource(folder).labels) == 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 1.0])
def test_truncated_shard_is_named(folder: Path, share: float) -> None:
    """Wherever it is cut, in the last one right after the last sample."""
    shard = folder / "000001.tar"
    with tarfile.open(shard) as archive:
        last = archive.getmembers()[-1]
    shard.write_bytes(shard.read_bytes()[: int(share * (last.offset_data + tarfile.BLOCKSIZE))])
    with pytest.raises(UserError, match=r"the shard .*000001\.tar is damaged \(.*\): fetch or write it again"):
        ShardSource(folder)


def test_shard_that_is_no_archive_or_empty_or_ambiguous_is_named(folder: Path) -> None:
    (folder / "000003.tar").write_bytes(b"no archive" * 200)
    with pytest.raises(UserError, match=r"000003\.tar is damaged"):
        ShardSource(folder)
    (folder / "000003.tar").write_bytes(b"")
    with pytest.raises(UserError, match=r"000003\.tar is damaged"):
        ShardSource(folder)
    write(folder / "000003.tar", [])
    with pytest.raises(UserError, match=r"000003\.tar holds no image"):
        ShardSource(folder)
    with tarfile.open(folder / "000003.tar", "w") as archive:
        for _ in range(2):
            archive.add(__file__, "0/same.jpg")
    with pytest.raises(UserError, match=r"000003\.tar is damaged .*duplicate"):
        ShardSource(folder)


def test_image_that_is_damaged_within_a_shard_is_named(folder: Path) -> None:
    samples = [sample(index, **label(index)) for index in range(4)]
    samples[2]["jpg"] = CONTENTS[2][:500]
    write(folder / "000000.tar", samples)
    with pytest.raises(UserError, match=r"cannot read the image .*000000\.tar:0/02 \(.*[Tt]runcated"):
        TwistDataset(folder, recipe()).__getitems__([(0, 2)])
    batch = TwistDataset(folder, recipe("data.unreadable=skip")).__getitems__([(0, 2), (0, 5)])
    assert batch.unreadable == (f"{folder}/000000.tar:0/02",) and batch.labels.tolist() == [1, 1]


def test_shards_sorted_by_class_are_refused_where_a_batch_would_see_few_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "WINDOW_SHARDS", 2)
    for shard in range(8):
        write(tmp_path / "sorted" / f"{shard}.tar", [sample(0, cls=str(shard).encode())] * 1)
        write(tmp_path / "mixed" / f"{shard}.tar", [sample(index, cls=b"%d" % index) for index in range(8)])
    with pytest.raises(UserError, match="hold 1 of 8 classes each: write them again from shuffled images"):
        ShardSource(tmp_path / "sorted")
    assert len(ShardSource(tmp_path / "mixed").labels) == 64


def test_no_more_shards_are_open_at_a_time_than_a_process_may_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_OPEN_SHARDS", 2)
    source = ShardSource(folder)
    before = len(list(Path("/proc/self/fd").iterdir()))
    order = np.random.default_rng(0).permutation(NUM_IMAGES).tolist()
    assert [source.read(index) for index in order] == [CONTENTS[index] for index in order]
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 2


def test_pictures_of_other_kinds_are_found_by_their_suffix(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.fromarray(photograph(0, 30, 40)).save(path)
    write(tmp_path / "shards" / "0.tar", [{"__key__": "a", "seg.png": b"mask", "PNG": path.read_bytes(), "cls": b"3"}])
    source = ShardSource(tmp_path / "shards")
    assert source.read(0) == path.read_bytes() and source.labels.tolist() == [3]


def test_a_recipe_that_follows_from_the_number_of_images_counts_those_in_shards(folder: Path) -> None:
    assert count_images(folder) == NUM_IMAGES and (folder / INDEX_NAME).is_file()
    made, _ = resolved(Args(recipe="small", data=folder))
    assert made.data.batch_size == 32  # the smallest; 256 is for many
