"""Frozen detection on any network: from fixtures in the true layouts to the report.

Segmentation's walks are in test_segmentation_linear, those of own data and of nearest neighbours in test_own_walk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.walks import walk

SMALL = (
    "INPUT.MIN_SIZE_TRAIN=(64,)", "INPUT.MIN_SIZE_TEST=64", "MODEL.FPN.OUT_CHANNELS=16",
    "MODEL.ROI_BOX_HEAD.CONV_DIM=16", "MODEL.ROI_BOX_HEAD.FC_DIM=16", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE=8",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.0", "MODEL.RPN.POST_NMS_TOPK_TRAIN=10", "MODEL.RPN.POST_NMS_TOPK_TEST=10",
    "SOLVER.MAX_ITER=1", "SOLVER.STEPS=()", "SOLVER.IMS_PER_BATCH=2", "TEST.PRECISE_BN.ENABLED=False",
    "DATALOADER.NUM_WORKERS=0",
)  # fmt: skip
SIDE = 64
BOX = (9, 13, 40, 52)  # in pixels from 0, the last not included


def save_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def voc(root: Path) -> None:
    """Two years of training and one of the test, an image and an object in each."""
    sides = "".join(f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin"), (10, 14), strict=True))
    sides += f"<xmax>{BOX[2]}</xmax><ymax>{BOX[3]}</ymax>"
    for year, split, name in (
        (2007, "trainval", "000001"),
        (2012, "trainval", "2008_000002"),
        (2007, "test", "000003"),
    ):
        home = root / f"VOCdevkit/VOC{year}"
        save_image(home / f"JPEGImages/{name}.jpg")
        for file, text in (
            (f"ImageSets/Main/{split}.txt", f"{name}\n"),
            (
                f"Annotations/{name}.xml",
                f"<annotation><size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"
                f"<object><name>dog</name><difficult>0</difficult><bndbox>{sides}</bndbox></object></annotation>",
            ),
        ):
            (home / file).parent.mkdir(parents=True, exist_ok=True)
            (home / file).write_text(text)


def coco(root: Path) -> None:
    """Two images of training and one of validation, an object in each; 80 categories, not numbered 1 to 80."""
    x0, y0, x1, y1 = BOX
    corners = [x0, y0, x1, y0, x1, y1, x0, y1]
    for split, number in (("train2017", 2), ("val2017", 1)):
        images = [
            {"id": index, "file_name": f"{index:012}.jpg", "width": SIDE, "height": SIDE}
            for index in range(1, number + 1)
        ]
        objects = [
            {
                "id": image["id"],
                "image_id": image["id"],
                "category_id": 14,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "segmentation": [corners],
                "iscrowd": 0,
            }
            for image in images
        ]
        categories = [{"id": each + each // 10, "name": f"thing {each}"} for each in range(1, 81)]
        for image in images:
            save_image(root / f"{split}/{image['file_name']}")
        (root / "annotations").mkdir(exist_ok=True)
        content = {"images": images, "annotations": objects, "categories": categories}
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "arch", "layout", "metrics", "more"),
    [
        ("voc-any-frozen", "test_vit", voc, ("box_ap",), ()),
        ("coco-any-frozen", "resnet10t", coco, ("box_ap", "mask_ap"), ("MODEL.ROI_MASK_HEAD.CONV_DIM=16",)),
    ],
)
def test_frozen_detection_on_any_network_goes_from_its_files_to_the_report(
    name: str,
    arch: str,
    layout: Callable[[Path], None],
    metrics: tuple[str, ...],
    more: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    layout(tmp_path / "data")
    record, _ = walk(name, arch, tmp_path / "data", (*SMALL, *more), tmp_path / "runs")
    assert set(metrics) <= record.metrics.keys() and ("mask_ap" in metrics) == ("mask_ap" in record.metrics)
    assert any("counts (there is none" in remark for remark in record.data_remarks), record.data_remarks
