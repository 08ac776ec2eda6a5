"""The test images of each data set that the doctor knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from configs.classification.datasets import DATASETS as ROWS
from transfer.doctor.files import Progress
from transfer.doctor.near_duplicates.hashes import Hashes, hash_image, hash_test
from transfer.doctor.near_duplicates.stored import stored_file
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.classification.datasets.listing import Listing


@dataclass(frozen=True)
class TestImages:
    """Test images of a data set: what each is called below its root, and their hashes."""

    __test__ = False  # no test of pytest's

    names: Sequence[str]
    hashes: Hashes


def hash_test_images(name: str, root: Path, progress: Progress) -> TestImages:
    """Hashes of all test images of a data set.

    Args:
        name: in :data:`transfer.doctor.datasets.DATASETS`.
        root: its folder.

    Raises:
        UserError: files are missing, or an image cannot be read.
    """
    if name in DENSE:
        return _of_files(root, DENSE[name](root), progress)
    listing = list_split(ROWS["digits" if name == "cls-digits" else name], root, "test")
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


def _of_arrays(listing: Listing, progress: Progress) -> TestImages:
    values = []
    for row in range(len(listing)):
        image = listing.read(row)
        values.append(hash_image(image, image.tobytes(), mirrored=True))
        progress(row + 1, len(listing), "hashing test images")
    return TestImages(listing.names, Hashes.of(values))


def _voc2007(root: Path) -> list[Path]:
    home = (root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root) / "VOC2007"
    return [home / f"JPEGImages/{name}.jpg" for name in _names(home / "ImageSets/Main/test.txt")]


def _voc2012(root: Path) -> list[Path]:
    home = root / "VOCdevkit/VOC2012"
    return [home / f"JPEGImages/{name}.jpg" for name in _names(home / "ImageSets/Segmentation/val.txt")]


def _names(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _coco(root: Path) -> list[Path]:
    home = root / "coco" if (root / "coco").is_dir() else root
    content = json.loads((home / "annotations/instances_val2017.json").read_bytes())
    return [home / "val2017" / image["file_name"] for image in content["images"]]


def _cityscapes(root: Path) -> list[Path]:
    return sorted((root / "leftImg8bit/val").glob("*/*_leftImg8bit.png"))


DENSE: dict[str, Callable[[Path], list[Path]]] = {
    "voc": _voc2007,
    "seg-voc": _voc2012,
    "coco": _coco,
    "cityscapes": _cityscapes,
    "digits": _voc2007,
}
