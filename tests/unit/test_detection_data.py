"""Training batches as a function of the seed alone, and data sets that are not as they should be."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer import benchmarks
from transfer.tasks.detection.config import protocol_config
from transfer.tasks.detection.data import (
    TrainingBatches,
    check_before_training,
    load_dicts,
    load_test_dicts,
    register_dataset,
    train_loader,
)
from transfer.tasks.detection.splits import known_splits
from twist_common.errors import UserError

WIDE = [index % 3 == 0 for index in range(50)]


def batches(number: int, *, start: int = 0, wide: list[bool] | None = WIDE, seed: int = 5) -> list[list[int]]:
    sampler = TrainingBatches(50, wide, batch_size=4, seed=seed, start=start)
    return [[index for _, index in batch] for batch in itertools.islice(sampler, number)]


def test_batches_are_those_of_detectron2s_own_loader() -> None:
    from detectron2.data.common import AspectRatioGroupedDataset
    from detectron2.data.samplers import TrainingSampler

    stream = ({"width": 2 if WIDE[i] else 1, "height": 1, "i": i} for i in TrainingSampler(50, seed=5))
    theirs = itertools.islice(AspectRatioGroupedDataset(stream, 4), 40)
    assert batches(40) == [[image["i"] for image in batch] for batch in theirs]


def test_a_resumed_loader_goes_on_with_the_next_batch() -> None:
    assert batches(20)[13:] == batches(7, start=13)


def test_no_image_is_lost_or_seen_twice_in_an_epoch() -> None:
    epoch = [index for batch in batches(25, wide=None) for index in batch]
    assert sorted(epoch[:50]) == sorted(epoch[50:]) == list(range(50))


def test_another_seed_gives_another_order() -> None:
    assert batches(5, seed=5) != batches(5, seed=6)


def one_batch(digits: Path, *overrides: object, position: int) -> list[np.ndarray]:
    cfg = protocol_config(benchmarks.get("demo-voc").config_path, device="cpu")
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.merge_from_list(
        ["INPUT.RANDOM_FLIP", "horizontal", "INPUT.MIN_SIZE_TRAIN", tuple(range(64, 128, 4)), *overrides]
    )
    dicts = load_dicts(cfg.DATASETS.TRAIN, digits)
    loader = train_loader(cfg, dicts, seed=1, start=position)
    return [image["image"].numpy() for image in next(iter(loader))]


def test_augmentation_depends_neither_on_workers_nor_on_where_the_loader_started(digits: Path) -> None:
    first = one_batch(digits, position=6)
    np.random.seed(99)  # what was drawn before does not matter either
    second = one_batch(digits, "DATALOADER.NUM_WORKERS", 1, position=6)
    assert len({image.shape for image in first}) > 1, "the sizes are drawn"
    assert [image.shape for image in first] == [image.shape for image in second]
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("name", [name for name in known_splits() if not name.startswith("digits")])
def test_a_missing_data_set_is_named_with_what_belongs_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{name} has no {tmp_path}.*: put its .* into {tmp_path}"):
        register_dataset(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("digits_voc_2007_test", "VOCdevkit/VOC2007/ImageSets/Main/test.txt"),
        ("digits_voc_2007_test", "VOCdevkit/VOC2007/Annotations"),
        ("digits_voc_2007_test", "VOCdevkit/VOC2007/Annotations/000201.xml"),
        ("digits_voc_2007_test", "VOCdevkit/VOC2007/JPEGImages"),
        ("digits_coco_2017_val", "coco/annotations/instances_val2017.json"),
        ("digits_coco_2017_val", "coco/val2017"),
    ],
)
def test_a_missing_part_of_a_data_set_is_the_users_error(name: str, part: str, digits: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(digits, root, ignore=shutil.ignore_patterns("imagefolder"), copy_function=os.link)
    assert load_dicts([name], root)
    missing = root / part
    assert missing.exists()
    shutil.rmtree(missing) if missing.is_dir() else missing.unlink()
    with pytest.raises(UserError, match=str(missing)):
        load_dicts([name], root)


def test_broken_annotations_are_the_users_error(digits: Path, tmp_path: Path) -> None:
    shutil.copytree(digits / "coco", tmp_path / "coco")
    (tmp_path / "coco/annotations/instances_val2017.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"annotations of digits_coco_2017_val .* cannot be read"):
        load_dicts(["digits_coco_2017_val"], tmp_path)


def test_data_roots_with_and_without_the_inner_folder_are_found(digits: Path) -> None:
    names = {
        register_dataset("digits_coco_2017_val", digits),
        register_dataset("digits_coco_2017_val", digits / "coco"),
    }
    names |= {
        register_dataset("digits_voc_2007_test", digits),
        register_dataset("digits_voc_2007_test", digits / "VOCdevkit"),
    }
    assert len(names) == 2


def test_test_images_without_an_object_to_find_are_refused(digits: Path, tmp_path: Path) -> None:
    shutil.copytree(digits / "coco", tmp_path / "coco")
    file = tmp_path / "coco/annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    file.write_text(json.dumps(content))
    cfg = protocol_config(benchmarks.get("demo-coco").config_path, device="cpu")
    with pytest.raises(UserError, match="no object that a test counts"):
        load_test_dicts(cfg, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "num_processes", "message"),
    [
        ("SOLVER.IMS_PER_BATCH", 4, 3, "3 GPUs cannot share evenly: give --gpus-per-trial 2"),
        ("DATASETS.TEST", ("digits_voc_2007_test", "digits_voc_2007_trainval"), 1, "tested on one data set"),
        ("DATASETS.TRAIN", ("digits_voc_2007_trainvl",), 1, "did you mean 'digits_voc_2007_trainval'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_trained(
    key: str, value: object, num_processes: int, message: str, digits: Path
) -> None:
    cfg = protocol_config(benchmarks.get("demo-voc").config_path, device="cpu")
    cfg.merge_from_list([key, value])
    with pytest.raises(UserError, match=message):
        check_before_training(cfg, digits, num_processes)


def test_images_are_read_as_they_are_stored(tmp_path: Path) -> None:
    from detectron2.data import detection_utils

    pixels = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(detection_utils.read_image(str(tmp_path / "turned.png"), format="RGB"), pixels)
    deep = pixels[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(detection_utils.read_image(str(tmp_path / "deep.png"), format="RGB")[..., 1], pixels[..., 0])


def test_an_image_in_rgb_is_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copy takes as long as a sixth of decoding a photograph."""
    from detectron2.data import detection_utils

    copies = []
    copy = Image.Image.copy

    def counted(image: Image.Image) -> Image.Image:
        copies.append(image)
        return copy(image)

    monkeypatch.setattr(Image.Image, "copy", counted)
    Image.new("RGB", (8, 8)).save(tmp_path / "image.jpg")
    detection_utils.read_image(str(tmp_path / "image.jpg"), format="BGR")
    assert len(copies) == 1
