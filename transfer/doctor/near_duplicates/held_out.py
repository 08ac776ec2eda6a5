"""The test images of a data set, wherever its layout keeps them, and their hashes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transfer.doctor.boxes import coco_home, voc_images
from transfer.doctor.depths import listed_pairs
from transfer.doctor.findings import Findings
from transfer.doctor.masks import ade20k_images, cityscapes_images, voc_pairs
from transfer.doctor.near_duplicates.hashes import Hashes, hash_image, hash_test
from transfer.doctor.near_duplicates.stored import stored_file
from transfer.layouts import AdeMasks, CityscapesMasks, CocoBoxes, DepthLists, OwnMasks, VocBoxes, VocMasks
from transfer.rows import DatasetRow, DenseDataset, LabelledDataset
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.detection.coco_files import image_path
from transfer.tasks.detection.voc_files import image_of
from transfer.tasks.segmentation.masks import mask_pairs
from twist_common.errors import UserError
from twist_common.progress import Progress

CHECK_FIRST = "check the data set with tools/check_data.sh first"


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
        paths = paths_of(row, root, "test")
    else:
        assert isinstance(row, LabelledDataset), f"{row.name} has no list of test images"
        listing = list_split(row, root, "test")
        if listing.root is None:  # arrays, which were read when they were listed
            values = []
            for place in range(len(listing)):
                image = listing.read(place)
                values.append(hash_image(image, image.tobytes(), mirrored=True))
                progress(place + 1, len(listing), "hashing test images")
            return TestImages(listing.names, Hashes.of(values))
        paths = [root / below for below in listing.names]
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(f"there is no test image {missing[0]}: {CHECK_FIRST}")
    hashes = hash_test([stored_file(path, root) for path in paths], progress)
    if not hashes.readable.all():
        raise UserError(f"cannot read the test image {paths[int(hashes.readable.argmin())]}: {CHECK_FIRST}")
    return TestImages([path.relative_to(root).as_posix() for path in paths], hashes)


def paths_of(row: DenseDataset, root: Path, split: Literal["train", "test"]) -> list[Path]:
    """The images of a split of boxes or masks.

    Raises:
        UserError: lists are missing.
    """
    findings = Findings(root)
    match row.layouts[0]:
        case VocBoxes() as layout:
            paths = [image_of(home / "JPEGImages", name) for home, name in voc_images(getattr(layout, split), findings)]
        case VocMasks() as layout:
            paths = [image for image, _ in voc_pairs(layout, getattr(layout, split), findings)]
        case CocoBoxes() as layout:
            home, part = coco_home(root), getattr(layout, split)
            content = json.loads((home / part.annotations).read_bytes())
            paths = [image_path(home / part.images, image["file_name"]) for image in content["images"]]
        case CityscapesMasks():
            paths = cityscapes_images(root, "val" if split == "test" else split)
        case AdeMasks():
            paths = ade20k_images(root, "validation" if split == "test" else "training")
        case DepthLists() as layout:
            paths = [image for image, _ in listed_pairs(getattr(layout, split), findings)]
        case OwnMasks() as layout:
            paths = [image for image, _ in mask_pairs(root, getattr(layout, split))]
        case layout:
            raise AssertionError(f"nobody knows where {type(layout).__name__} keeps its images")
    if problems := findings.sentences():
        raise UserError(f"{problems[0]}: {CHECK_FIRST}")
    return paths
