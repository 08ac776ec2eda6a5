"""The test images of a data set, wherever its layout keeps them, and their hashes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from transfer.doctor.boxes import coco_home, voc_devkit
from transfer.doctor.files import Progress
from transfer.doctor.near_duplicates.hashes import Hashes, hash_image, hash_test
from transfer.doctor.near_duplicates.stored import stored_file
from transfer.rows import CityscapesMasks, CocoBoxes, DatasetRow, DenseDataset, LabelledDataset, VocBoxes, VocMasks
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.classification.labelled import LabelledImages


@dataclass(frozen=True)
class TestImages:
    """Test images of a data set: what each is called below its root, and their hashes."""

    __test__ = False  # no test of pytest's

    names: Sequence[str]
    hashes: Hashes


def hash_test_images(row: DatasetRow, root: Path, progress: Progress) -> TestImages:
    """Hashes of all test images of a data set below its folder ``root``.

    Raises:
        UserError: files are missing, or an image cannot be read.
    """
    if isinstance(row, DenseDataset):
        return _of_files(root, TEST_PATHS[type(row.layouts[0])](root, row.layouts[0]), progress)
    assert isinstance(row, LabelledDataset), f"{row.name} has no list of test images"
    listing = list_split(row, root, "test")
    if listing.root is None:
        return _of_arrays(listing, progress)
    return _of_files(root, [root / below for below in listing.names], progress)


def _of_files(root: Path, paths: Sequence[Path], progress: Progress) -> TestImages:
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(f"there is no test image {missing[0]}: check the data set with tools/check_data.sh first")
    hashes = hash_test([stored_file(path, root) for path in paths], progress)
    if not hashes.readable.all():
        broken = paths[int(hashes.readable.argmin())]
        raise UserError(f"cannot read the test image {broken}: check the data set with tools/check_data.sh first")
    return TestImages([path.relative_to(root).as_posix() for path in paths], hashes)


def _of_arrays(listing: LabelledImages, progress: Progress) -> TestImages:
    values = []
    for row in range(len(listing)):
        image = listing.read(row)
        values.append(hash_image(image, image.tobytes(), mirrored=True))
        progress(row + 1, len(listing), "hashing test images")
    return TestImages(listing.names, Hashes.of(values))


def _voc_boxes(root: Path, layout: VocBoxes) -> list[Path]:
    homes = [(voc_devkit(root) / f"VOC{part.year}", part.names) for part in layout.test]
    return [home / f"JPEGImages/{name}.jpg" for home, names in homes for name in _names(home / "ImageSets/Main", names)]


def _voc_masks(root: Path, layout: VocMasks) -> list[Path]:
    home = root / layout.devkit
    lists = [_names(home / "ImageSets/Segmentation", part.names) for part in layout.test]
    return [home / f"JPEGImages/{name}.jpg" for names in lists for name in names]


def _names(folder: Path, list_name: str) -> list[str]:
    lines = (folder / f"{list_name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def _coco(root: Path, layout: CocoBoxes) -> list[Path]:
    home = coco_home(root)
    content = json.loads((home / "annotations/instances_val2017.json").read_bytes())
    return [home / "val2017" / image["file_name"] for image in content["images"]]


def _cityscapes(root: Path, layout: CityscapesMasks) -> list[Path]:
    return sorted((root / "leftImg8bit/val").glob("*/*_leftImg8bit.png"))


# layout to the paths of its test images
TEST_PATHS: dict[type, Callable[[Path, Any], list[Path]]] = {
    VocBoxes: _voc_boxes,
    VocMasks: _voc_masks,
    CocoBoxes: _coco,
    CityscapesMasks: _cityscapes,
}
