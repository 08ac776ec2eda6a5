"""A new dense benchmark on a new data set is its config, its two rows and its test, and nothing else (CONTRIBUTING.md).

This is such a test: a small mask data set, from the check of its data to the report.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import run_program
from transfer.record import TrialRecord
from transfer.rows import CONFIGS

CONFIG = f"""
_base_ = ["{CONFIGS}/segmentation/_base_/fcn_fpn.py", "{CONFIGS}/segmentation/_base_/runtime.py"]

num_images = dict(train=8, test=4)
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(depth=18),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    decode_head=dict(in_channels=[32, 32, 32, 32], channels=16, num_classes=3),
)
dataset = dict(
    type="BaseSegDataset",
    metainfo=dict(classes=("ground", "square", "bar"), palette=[[0, 0, 0], [128, 0, 0], [0, 128, 0]]),
    data_root="shapes",
    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
    img_suffix=".jpg",
    seg_map_suffix=".png",
    pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")],
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(ann_file="ImageSets/Segmentation/train.txt", **dataset),
)
test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(ann_file="ImageSets/Segmentation/val.txt", test_mode=True, **dataset),
)
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=2, by_epoch=False)]
train_cfg = dict(max_iters=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=None)
"""

# What one writes into transfer/datasets.py and transfer/benchmarks.py; the commands are the project's own.
PROGRAM = """
import importlib
import sys

from twist_common import cli
from transfer.benchmarks import BENCHMARKS, SEGMENTATION
from transfer.datasets import DATASETS
from transfer.layouts import MaskList, VocMasks
from transfer.rows import Benchmark, DenseDataset

DATASETS["shapes"] = DenseDataset(
    name="shapes", title="Shapes", source="this test", guide="draw them again into {root}", parts=("shapes",),
    layouts=(
        VocMasks(
            devkit="shapes", num_classes=3, num_train=8, num_test=4, train=(MaskList("train"),), test=(MaskList("val"),)
        ),
    ),
)
BENCHMARKS["seg-shapes"] = Benchmark(
    name="seg-shapes", task=SEGMENTATION, dataset=DATASETS["shapes"], config="CONFIG", protocol_version=1,
    title="Shapes, segmentation", summary="FCN-FPN R18 on squares and bars", main_metric="miou", arch="resnet18",
    typed="shapes",
)

if __name__ == "__main__":
    command = importlib.import_module(f"transfer.commands.{sys.argv.pop(1)}")
    from transfer.commands.check_data import dataset_lines
    from transfer.commands.trial_command import benchmark_lines
    cli.run(command.Args, command.main, prog=command.COMMAND,
            benchmarks=benchmark_lines(SEGMENTATION), datasets=dataset_lines())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set, the config, and a program that adds the rows and runs a command."""
    folder = tmp_path_factory.mktemp("new")
    home = folder / "data" / "shapes"
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (home / part).mkdir(parents=True)
    draw = np.random.default_rng(0)
    names = [f"{index:03d}" for index in range(12)]
    for name in names:
        mask = np.zeros((128, 128), np.uint8)
        x, y = draw.integers(0, 80, 2)
        mask[y : y + 40, x : x + 40] = 1
        mask[y : y + 40, x : x + 8] = 2
        image = draw.integers(0, 40, (128, 128, 3), dtype=np.uint8)
        image[mask == 1, 0] += 200
        image[mask == 2, 1] += 200
        Image.fromarray(image).save(home / f"JPEGImages/{name}.jpg", quality=95)
        Image.fromarray(mask).save(home / f"SegmentationClass/{name}.png")
    (home / "ImageSets/Segmentation/train.txt").write_text("\n".join(names[:8]) + "\n")
    (home / "ImageSets/Segmentation/val.txt").write_text("\n".join(names[8:]) + "\n")
    (folder / "shapes.py").write_text(CONFIG)
    (folder / "program.py").write_text(PROGRAM.replace("CONFIG", str(folder / "shapes.py")))
    return folder


def run(folder: Path, *arguments: object) -> str:
    done = run_program(folder / "program.py", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_it_and_the_doctor_checks_its_data(folder: Path) -> None:
    assert "shapes      Shapes: 8 + 4 images" in run(folder, "check_data", "--help")
    assert re.search(r"  shapes +FCN-FPN R18 on squares and bars", run(folder, "transfer_seg", "--help"))
    assert "is complete and readable" in run(folder, "check_data", "shapes", "--data", folder / "data")
    list_of_test = folder / "data/shapes/ImageSets/Segmentation/val.txt"
    whole = list_of_test.read_text()
    list_of_test.write_text(whole[4:])
    damaged = run_program(folder / "program.py", "check_data", "shapes", "--data", folder / "data")
    list_of_test.write_text(whole)
    assert damaged.returncode == 2 and "test has 3, not 4" in damaged.stderr
    assert f"what to fetch: Shapes: draw them again into {folder / 'data'}" in damaged.stderr


def test_it_is_planned_run_reported_and_its_near_duplicates_are_counted(folder: Path) -> None:
    trial = ("transfer_seg", "shapes", "random:resnet18", "--trials", "2", "--data", folder / "data", "--device", "cpu")
    plan = json.loads(run(folder, *trial, "--plan", "--json"))
    assert [(row["benchmark"], row["arch"]) for row in plan["rows"]] == [("seg-shapes", "resnet18")]
    assert "2 of 2 trials are recorded" in run(folder, *trial)
    records = [TrialRecord.load(path) for path in sorted(folder.glob("runs/paper/seg-shapes/*/*/record.json"))]
    assert [record.seed for record in records] == [0, 1]
    assert all(record.status == "done" and record.protocol_difference == [] for record in records)

    counted = run(folder, "check_data", "shapes", "--data", folder / "data", "--pretraining", folder / "data/shapes")
    assert "4 of 4 test images of shapes have a near-duplicate" in counted
    run(folder, "report", "runs")
    page = (folder / "runs/report.html").read_text()
    assert "Shapes, segmentation" in page and "Of 4 test images 4 have a near-duplicate" in page
    assert f"{records[0].metrics['miou'].value:.2f}" in (folder / "runs/report.md").read_text()
