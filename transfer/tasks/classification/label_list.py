"""A user's list of the labelled images, such as SimCLR's for ImageNet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from transfer.tasks.classification.datasets.labelled import LabelledImages
from twist_common.errors import UserError, is_not_the_files

LIST_GUIDE = (
    "SimCLR's lists define the benchmark, 1percent.txt and 10percent.txt in the folder imagenet_subsets of "
    "github.com/google-research/simclr: give the file with --labels FILE"
)


def read_list(path: Path) -> list[str]:
    """The image names in a list, one per line, as ``n01440764_10074.JPEG``; folders before the name are allowed.

    Raises:
        UserError: the file cannot be read, is empty, names an image twice, or a line is no image's name.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        if is_not_the_files(error):
            raise
        raise UserError(f"cannot read the list of labelled images {path} ({error}): {LIST_GUIDE}") from None
    names: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip().rpartition("/")[2]
        if not name:
            continue
        if not re.fullmatch(r"\S+\.\w+", name):
            raise UserError(f"line {number} of {path} is no image's name, {line.strip()!r}: write one name per line")
        if name in names:
            raise UserError(f"line {number} of {path} names {name} again (first in line {names[name]}): take it out")
        names[name] = number
    if not names:
        raise UserError(f"{path} names no image: {LIST_GUIDE}")
    return list(names)


def listed(train: LabelledImages, names: Sequence[str], path: Path) -> LabelledImages:
    """The training images of these names, whatever their suffixes, in the order of the list.

    Raises:
        UserError: an image of the list is missing, a class has none, or two training images have the same name.
    """
    assert train.names, f"{train.name} has no file names"
    wanted = [PurePosixPath(name).stem for name in names]
    is_wanted, rows = set(wanted), dict[str, int]()
    for row, stem in enumerate(PurePosixPath(name).stem for name in train.names):
        if stem in is_wanted and rows.setdefault(stem, row) != row:
            raise UserError(f"two images of {train.name} are called {stem}: a list of names needs names that differ")
    missing = [name for name, stem in zip(names, wanted, strict=True) if stem not in rows]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} images in {path} are not among the {len(train)} of {train.name}, "
            f"e.g. {missing[0]}: is this the list of another data set, or is the data set incomplete?"
        )
    subset = train.subset(np.array([rows[stem] for stem in wanted]), f"{train.name}, {path.name}")
    without = sorted(set(range(len(train.classes))) - set(subset.labels.tolist()))
    if without:
        raise UserError(f"{path} names no image of the class {train.classes[without[0]]}: each class needs one")
    return subset
