"""Monocular depth on NYUv2 in BTS's layout: from the check of the data to the report, and what a check finds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from tests.integration.test_segmentation_full_width import NO_WARMUP, ONE_STEP
from tests.walks import walk
from transfer import benchmarks
from transfer.doctor.check import examine
from transfer.doctor.findings import (
    LEAK,
    MISSING,
    UNREADABLE_ANNOTATION,
    UNUSABLE_DEPTHS,
    WRONG_COUNT,
    WRONG_SIZE,
    Findings,
)
from transfer.doctor.near_duplicates.held_out import paths_of
from transfer.outcomes.file import read_outcomes
from transfer.record import OUTCOMES_NAME
from transfer.rows import DenseDataset
from transfer.tasks.segmentation.accumulation import memory_of
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import load_protocol
from transfer.tasks.segmentation.depth_files import depth_pairs, stored_depths
from transfer.weights.backbone.types import IMAGENET
from transfer.weights.convert.mmseg_any import settings

pytestmark = pytest.mark.usefixtures("mmengine_on_one_thread")

HEIGHT, WIDTH = 480, 640  # of all of NYUv2: the crop is of fixed rows and columns
SMALL = (*ONE_STEP, "num_images.test=2", *NO_WARMUP)
TRAIN = (("kitchen_0028b", 45), ("living_room_0019", 111))
TEST = (("bathroom", 45), ("office", 8))


def save_depths(path: Path, millimetres: np.ndarray) -> None:
    Image.fromarray(millimetres.astype(np.uint16)).save(path)


def nyu(root: Path) -> Path:
    """Two images of each list, whose right side is farther than the left one, and a frame without depths."""
    rng = np.random.default_rng(0)
    depths = np.linspace(800, 9000, WIDTH)[None].repeat(HEIGHT, axis=0)
    depths[:20] = depths[-10:] = 0
    for names, scenes, slash in (("nyu_train.txt", TRAIN, "/"), ("nyu_test.txt", TEST, "")):
        lines = []
        for scene, number in scenes:
            image, truth = f"{scene}/rgb_{number:05d}.jpg", f"{scene}/sync_depth_{number:05d}.png"
            (root / scene).mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(root / image)
            save_depths(root / truth, depths)
            lines.append(f"{slash}{image} {slash}{truth} 518.8579\n")
        (root / names).write_text("".join(lines))
    return root


def row() -> DenseDataset:
    found = benchmarks.get("nyu-depth-linear").dataset
    assert isinstance(found, DenseDataset)
    return found


def found_in(root: Path) -> Findings:
    return examine(row(), root)


@pytest.mark.parametrize(
    ("name", "arch", "channels", "upsample"),
    [
        ("nyu-depth-linear", "test_vit", [128], 4),
        ("nyu-depth-linear4", "deit_small", [768] * 4, 4),
        ("nyu-depth-linear", "resnet10t", [512], 4),
        ("nyu-depth-linear4", "resnet50", [256, 512, 1024, 2048], 1),
    ],
)
def test_maps_have_a_class_token_where_there_is_one_and_end_at_stride_4(
    name: str, arch: str, channels: list[int], upsample: int
) -> None:
    config = load_protocol(benchmarks.get(name).config_path)
    fit(config, arch, settings(arch, IMAGENET))
    assert (config.model.decode_head.in_channels, config.model.decode_head.upsample) == (channels, upsample)
    assert not memory_of(config).has_batch_norm


def test_a_fixture_in_the_true_layout_goes_through_doctor_plan_trial_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs = tmp_path / "runs"
    record, text = walk("nyu-depth-linear4", "test_vit", nyu(tmp_path / "nyu"), SMALL, runs)
    assert json.loads(record.resolved_config)["model"]["decode_head"]["in_channels"] == [128] * 4
    assert record.norm_batch is None
    assert not [line for line in record.protocol_difference if line.startswith("model.")]
    errors = {each: metric.value for each, metric in record.metrics.items()}
    assert {each: metric.direction for each, metric in record.metrics.items()} == {
        "rmse_cm": "lower",
        "abs_rel": "lower",
        "delta1": "higher",
    }
    floor = record.references["mean depth everywhere"]
    assert floor["rmse_cm"] == pytest.approx(100 * np.linspace(0.8, 9, WIDTH)[41:601].std(), rel=1e-3)
    assert len(record.pictures) == 2
    (kept,) = runs.rglob(OUTCOMES_NAME)
    outcomes = read_outcomes(kept.read_bytes(), "beside the record")
    assert outcomes.metrics() == errors and outcomes.num_images == 2

    assert "RMSE in cm (lower is better)" in text and f"{errors['rmse_cm']:.2f}" in text
    assert "NYU-Depth v2, linear, 4 layers" in text and "29.8" in text


def test_both_lists_are_read_with_and_without_slashes(tmp_path: Path) -> None:
    root = nyu(tmp_path / "nyu")
    for names, scenes in (("nyu_train.txt", TRAIN), ("nyu_test.txt", TEST)):
        pairs = depth_pairs(root, names)
        assert [image for image, _ in pairs] == [root / f"{scene}/rgb_{number:05d}.jpg" for scene, number in scenes]
        assert all(depths.is_file() for _, depths in pairs)
    assert stored_depths(root / "office/sync_depth_00008.png")[100, 0] == 800
    assert paths_of(row(), root, "test") == [image for image, _ in depth_pairs(root, "nyu_test.txt")]


def test_damage_is_found_before_a_trial(tmp_path: Path) -> None:
    root = nyu(tmp_path / "nyu")
    eight_bits = np.full((HEIGHT, WIDTH), 90, dtype=np.uint8)
    Image.fromarray(eight_bits).save(root / "kitchen_0028b/sync_depth_00045.png")
    save_depths(root / "living_room_0019/sync_depth_00111.png", np.full((HEIGHT, WIDTH), 3))  # metres
    save_depths(root / "bathroom/sync_depth_00045.png", np.full((HEIGHT, WIDTH), 25_000))  # of 5,000 to the metre
    save_depths(root / "office/sync_depth_00008.png", np.full((HEIGHT, WIDTH - 1), 2_000))
    with (root / "nyu_train.txt").open("a") as file:
        file.write(f"bathroom/rgb_00045.jpg bathroom/sync_depth_00045.png 518.8579{os.linesep}")
    findings = found_in(root)
    assert findings.kinds() == {WRONG_COUNT, UNUSABLE_DEPTHS, WRONG_SIZE, LEAK}
    text = " ".join(findings.sentences())
    assert "(it is a PNG of L, not a PNG of 16 bits a pixel)" in text and "no depth is above 3 mm" in text
    assert "half of its depths are above 10 m" in text

    (root / "nyu_test.txt").write_text("bathroom/rgb_00045.jpg\n")
    (root / "nyu_train.txt").unlink()
    findings = found_in(root)
    assert findings.kinds() == {MISSING, UNREADABLE_ANNOTATION}
    assert "nyu_test.txt (line 1 has an image and no depths)" in " ".join(findings.sentences())


@pytest.mark.parametrize(("unit", "is_right"), [(1000, True), (100, False), (256, False)])
def test_depths_in_another_unit_are_found_over_many_maps(unit: int, is_right: bool, tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    for number in range(20):
        Image.new("RGB", (16, 12)).save(tmp_path / f"room/{number}.jpg")
        metres = np.linspace(0.8 + number / 20, 4 + number / 4, 16)[None].repeat(12, axis=0)
        save_depths(tmp_path / f"room/{number}.png", metres * unit)
    names = "".join(f"room/{number}.jpg room/{number}.png 518\n" for number in range(20))
    (tmp_path / "nyu_train.txt").write_text(names)
    (tmp_path / "nyu_test.txt").write_text(names)
    text = " ".join(found_in(tmp_path).sentences())
    assert ("test, where nothing is farther than" not in text) is is_right
