"""The data doctor on pairs of images and masks: VOC with SBD, and Cityscapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.doctor_damage import save_image, save_mask, sentences
from transfer import datasets
from transfer.doctor.findings import Findings
from transfer.doctor.masks import check_ade20k, check_cityscapes, check_voc
from transfer.layouts import AdeMasks, CityscapesMasks
from transfer.trial import silent


def sbd(root: Path) -> Path:
    """Two images of VOC12 train, one that SBD adds, one of val."""
    home = root / "VOCdevkit/VOC2012"
    lists = {"train": ["2007_000001", "2007_000002"], "aug": ["2008_000003"], "val": ["2007_000004"]}
    for split, names in lists.items():
        path = home / f"ImageSets/Segmentation/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
        for name in names:
            save_image(home / f"JPEGImages/{name}.jpg")
            folder = "SegmentationClassAug" if split == "aug" else "SegmentationClass"
            save_mask(home / f"{folder}/{name}.png", np.full((6, 8), 20))
    return root


def check_sbd(root: Path) -> list[str]:
    findings = Findings(root)
    (layout,) = datasets.get("seg-voc").layouts
    check_voc(dataclasses.replace(layout, num_train=3, num_test=1), findings, silent)
    return findings.sentences()


def test_voc_segmentation_with_sbd(tmp_path: Path) -> None:
    assert check_sbd(sbd(tmp_path)) == []
    home = tmp_path / "VOCdevkit/VOC2012"
    save_mask(home / "SegmentationClassAug/2008_000003.png", np.full((6, 8), 21))
    with (home / "ImageSets/Segmentation/aug.txt").open("a") as file:
        file.write("2007_000004\n")
    found = check_sbd(tmp_path)
    assert "splits of the wrong size (1): train has 4, not 3" in found[0]
    assert any("impossible labels (1): VOCdevkit/VOC2012/SegmentationClassAug/2008_000003.png (21)" in s for s in found)
    assert any(
        "missing files or folders (1): VOCdevkit/VOC2012/SegmentationClassAug/2007_000004.png" in s for s in found
    )
    assert any("test images among the training images (1): 2007_000004" in s for s in found)


def cityscapes(root: Path) -> Path:
    for split, city in {"train": "aachen", "val": "lindau"}.items():
        save_image(root / f"leftImg8bit/{split}/{city}/{city}_000000_000019_leftImg8bit.png")
        save_mask(root / f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_labelTrainIds.png", np.full((6, 8), 18))
    return root


def check_small_cityscapes(root: Path) -> list[str]:
    findings = Findings(root)
    check_cityscapes(CityscapesMasks(num_train=1, num_test=1), findings, silent)
    return findings.sentences()


def test_cityscapes(tmp_path: Path) -> None:
    assert check_small_cityscapes(cityscapes(tmp_path)) == []
    mask = tmp_path / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelTrainIds.png"
    save_mask(mask, np.full((6, 8), 33))  # a labelId, not a trainId
    assert (
        "impossible labels (1): gtFine/val/lindau/lindau_000000_000019_gtFine_labelTrainIds.png (33)"
        in (check_small_cityscapes(tmp_path)[0])
    )
    mask.unlink()
    assert "missing files or folders (1): gtFine/val/lindau/" in check_small_cityscapes(tmp_path)[0]


def ade20k(root: Path) -> Path:
    """Two images of training, one of validation, with the first and the last class, and none of both."""
    home = root / "ADEChallengeData2016"
    for name in ("training/ADE_train_00000001", "training/ADE_train_00000002", "validation/ADE_val_00000001"):
        save_image(home / f"images/{name}.jpg")
        save_mask(home / f"annotations/{name}.png", np.array([[0, 1, 150, 0, 0, 0, 0, 0]] * 6))
    return root


def test_ade20k_has_classes_1_to_150_and_0_for_all_else(tmp_path: Path) -> None:
    def check() -> list[str]:
        findings = Findings(tmp_path)
        check_ade20k(AdeMasks(num_train=2, num_test=1), findings, silent)
        return findings.sentences()

    ade20k(tmp_path)
    assert check() == []
    masks = tmp_path / "ADEChallengeData2016/annotations"
    save_mask(masks / "training/ADE_train_00000002.png", np.full((6, 8), 151))
    save_mask(masks / "validation/ADE_val_00000001.png", np.zeros((6, 8)))
    wrong, nothing = check()
    assert "impossible labels (1): ADEChallengeData2016/annotations/training/ADE_train_00000002.png (151)" in wrong
    assert "test masks without a labelled pixel" in nothing
    save_mask(masks / "training/ADE_train_00000002.png", np.array([[0, 149, 255, 255, 255, 0, 0, 0]] * 6))
    assert any("impossible labels (1)" in each and "ADE_train_00000002.png (255)" in each for each in check())
    (masks / "validation/ADE_val_00000001.png").unlink()
    assert any("missing files or folders (1): ADEChallengeData2016/annotations/validation" in each for each in check())


@pytest.mark.parametrize(
    ("name", "layout", "counts"),
    [
        ("seg-voc", sbd, "test has 1, not 1,449, train has 3, not 10,582"),
        ("cityscapes", cityscapes, "train has 1, not 2,975, val has 1, not 500"),
        ("ade20k", ade20k, "test has 1, not 2,000, train has 2, not 20,210"),
    ],
)
def test_the_protocols_numbers_of_masks_are_demanded(
    name: str, layout: Callable[[Path], Path], counts: str, tmp_path: Path
) -> None:
    (sentence,) = sentences(name, layout(tmp_path / "data"))
    assert counts in sentence
