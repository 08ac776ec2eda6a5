"""The paper's segmentation models at full width: converted weights, one training step, one evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from transfer import benchmarks
from transfer.tasks.segmentation import task
from transfer.tasks.segmentation.checks import point_to_data
from transfer.tasks.segmentation.config import load_protocol, resolve_config
from transfer.trial import Trial, WeightsRef
from twist_common.files import sha256_text

pytestmark = pytest.mark.usefixtures("mmengine_on_one_thread")

SIZE = 64
# What needs the whole data set or a GPU; the model is the protocol's.
ONE_STEP = (
    "train_cfg.max_iters=1",
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=false",
    "test_dataloader.num_workers=0",
    "num_images.train=2",
)
SMALL = (
    *ONE_STEP,
    "num_images.test=1",
    f"model.data_preprocessor.size={SIZE},{SIZE}",
    f"test_dataloader.dataset.pipeline.1.scale={2 * SIZE},{SIZE}",
)
NO_WARMUP = ("param_scheduler.0.begin=0", "param_scheduler.1.end=1")
CHECKPOINT = "default_hooks.checkpoint.interval=1"


def save_pair(image: Path, mask: Path) -> None:
    """An image of noise and a mask with two classes."""
    rng = np.random.default_rng(0)
    for path, pixels in {
        image: rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        mask: np.repeat(np.arange(SIZE, dtype=np.uint8)[:, None] // (SIZE // 2), SIZE, axis=1),
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def voc(root: Path) -> tuple[str, ...]:
    """One image of train, one that SBD adds, one of val; returns what makes the pipelines small."""
    home = root / "VOCdevkit/VOC2012"
    for split, folder in {
        "train": "SegmentationClass",
        "aug": "SegmentationClassAug",
        "val": "SegmentationClass",
    }.items():
        names = home / f"ImageSets/Segmentation/{split}.txt"
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text(f"2007_{split}\n")
        save_pair(home / f"JPEGImages/2007_{split}.jpg", home / f"{folder}/2007_{split}.png")
    return tuple(
        override for part in (0, 1) for override in small_pipeline(f"train_dataloader.dataset.datasets.{part}")
    )


def cityscapes(root: Path) -> tuple[str, ...]:
    """Two images of train, one of val; returns what makes the pipelines small."""
    for split, count in {"train": 2, "val": 1}.items():
        for number in range(count):
            place = f"{split}/aachen/aachen_{number:06d}_000019"
            save_pair(root / f"leftImg8bit/{place}_leftImg8bit.png", root / f"gtFine/{place}_gtFine_labelTrainIds.png")
    windows = (f"model.test_cfg.crop_size={SIZE},{SIZE}", "model.test_cfg.stride=43,43")  # three of them
    return *small_pipeline("train_dataloader.dataset"), *windows


def ade20k(root: Path) -> tuple[str, ...]:
    """Two images of training, one of validation; returns what makes the pipelines small."""
    for split, short, count in (("training", "train", 2), ("validation", "val", 1)):
        for number in range(1, count + 1):
            home, name = root / "ADEChallengeData2016", f"{split}/ADE_{short}_{number:08d}"
            save_pair(home / f"images/{name}.jpg", home / f"annotations/{name}.png")
    return small_pipeline("train_dataloader.dataset")


def small_pipeline(dataset: str) -> tuple[str, ...]:
    return (
        f"{dataset}.pipeline.2.scale={2 * SIZE},{SIZE}",
        f"{dataset}.pipeline.3.crop_size={SIZE},{SIZE}",
    )


@pytest.mark.parametrize(
    ("name", "arch", "layout", "parts"),
    [
        ("seg-voc", "resnet50", voc, {"backbone", "neck", "decode_head"}),
        ("seg-cityscapes", "resnet50", cityscapes, {"backbone", "neck", "decode_head"}),
        ("seg-voc-any", "deit_small", voc, {"backbone", "neck", "decode_head"}),
        ("seg-voc-any-frozen", "test_vit", voc, {"backbone", "decode_head"}),
        ("seg-cityscapes-any-frozen", "resnet10t", cityscapes, {"backbone", "decode_head"}),
        ("seg-ade20k-any-frozen", "test_vit", ade20k, {"backbone", "decode_head"}),
        ("seg-voc-frozen", "resnet50", voc, {"backbone", "decode_head"}),
        ("seg-cityscapes-frozen", "resnet50", cityscapes, {"backbone", "decode_head"}),
    ],
)
def test_full_width_protocol_loads_all_of_the_backbone_takes_a_step_and_is_tested(
    name: str, arch: str, layout: Callable[[Path], tuple[str, ...]], parts: set[str], weights_dir: Path, tmp_path: Path
) -> None:
    data, work_dir = tmp_path / "data", tmp_path / "work"
    work_dir.mkdir()
    overrides = (*SMALL, CHECKPOINT, *layout(data), *(NO_WARMUP if name.endswith("any") else ()))
    trial = Trial(
        benchmark=benchmarks.get(name),
        weights=WeightsRef(name="random", source=f"random:{arch}", sha256=sha256_text(arch)),
        seed=0,
        data=data,
        overrides=overrides,
        device="cpu",
        work_dir=work_dir,
        weights_dir=weights_dir / arch,
    )
    trial.weights_dir.mkdir(exist_ok=True)
    outcome = task.run(trial)
    assert all(math.isfinite(metric.value) for metric in outcome.metrics.values())
    assert (outcome.arch, outcome.standing) == (arch, "off protocol")
    assert len(outcome.pictures) == 1
    trained = torch.load(work_dir / "iter_1.pth", weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in trained.values())
    assert {key.split(".")[0] for key in trained} == parts


def test_ade20ks_masks_have_their_first_class_at_0_and_all_else_ignored(tmp_path: Path) -> None:
    from mmengine.registry import DefaultScope
    from mmseg.registry import DATASETS

    ade20k(tmp_path)
    config, _ = resolve_config(load_protocol(benchmarks.get("seg-ade20k").config_path))
    point_to_data(config, tmp_path)
    with DefaultScope.overwrite_default_scope("mmseg"):
        dataset = DATASETS.build(config.test_dataloader.dataset)
    (sample,) = dataset
    mask = sample["data_samples"].gt_sem_seg.data[0]
    assert len(dataset.metainfo["classes"]) == config.model.decode_head.num_classes == 150
    assert (mask[: SIZE // 2] == 255).all() and (mask[SIZE // 2 :] == 0).all()  # stored as 0 and 1
