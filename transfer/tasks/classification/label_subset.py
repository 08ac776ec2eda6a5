"""The labelled images of a trial: those of a list, or an even draw from every class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import sha256_text
from transfer.tasks.classification.labelled import LabelledImages

LABEL_STREAM = 0  # every initialisation with the same seed gets the same labelled images
LIST_GUIDE = (
    "SimCLR's lists define the benchmark, 1percent.txt and 10percent.txt in the folder imagenet_subsets of "
    "github.com/google-research/simclr: give the file with --labels FILE"
)


def read_list(path: Path) -> list[str]:
    """The image names of a list: one a line, as ``n01440764_10074.JPEG``; folders before the name are allowed.

    Raises:
        UserError: the file cannot be read, is empty, names an image twice, or a line is no image's name.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list of labelled images {path} ({error}): {LIST_GUIDE}") from None
    names: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip().rpartition("/")[2]
        if not name:
            continue
        if not re.fullmatch(r"\S+\.\w+", name):
            raise UserError(f"line {number} of {path} is no image's name, {line.strip()!r}: one name a line is wanted")
        if name in names:
            raise UserError(f"line {number} of {path} names {name} again (first in line {names[name]}): take it out")
        names[name] = number
    if not names:
        raise UserError(f"{path} names no image: {LIST_GUIDE}")
    return list(names)


def listed(train: LabelledImages, names: Sequence[str], path: Path) -> LabelledImages:
    """The training images of these names, in the order of the list.

    Raises:
        UserError: an image of the list is not there, a class has none, or two training images have one name.
    """
    assert train.file_name is not None, f"{train.name} has no file names"
    rows: dict[str, int] = {}
    wanted = {_stem(name) for name in names}
    for row in range(len(train)):
        stem = _stem(train.file_name(row))
        if stem in wanted and rows.setdefault(stem, row) != row:
            raise UserError(f"two images of {train.name} are called {stem}: a list of names needs names that differ")
    missing = [name for name in names if _stem(name) not in rows]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} images in {path} are not among the {len(train)} of {train.name}, "
            f"e.g. {missing[0]}: is this the list of another data set, or is the data set incomplete?"
        )
    subset = train.subset(np.array([rows[_stem(name)] for name in names]), f"{train.name}, {path.name}")
    without = sorted(set(range(len(train.classes))) - set(subset.labels.tolist()))
    if without:
        raise UserError(f"{path} names no image of the class {train.classes[without[0]]}: each class needs one")
    return subset


def even_rows(labels: NDArray[np.integer], fraction: float, seed: int) -> NDArray[np.int64]:
    """Rows of this fraction of every class, rounded, at least one image each; drawn by the seed, sorted.

    Raises:
        UserError: the fraction is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"labels_fraction={fraction}: a fraction above 0 and up to 1 is wanted")
    rng = np.random.default_rng([seed, LABEL_STREAM])
    rows = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rows.append(rng.permutation(of_class)[: max(1, round(fraction * len(of_class)))])
    return np.sort(np.concatenate(rows))


def few_labels(labels: NDArray[np.int64], per_class: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of ``per_class`` images of every class, in a random order.

    Raises:
        UserError: a class has fewer images.
    """
    rows = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        if not 1 <= per_class <= len(of_class):
            raise UserError(
                f"labels_per_class={per_class}, but class {label} has {len(of_class)} training images: "
                f"choose from 1 to {len(of_class)}"
            )
        rows.append(rng.permutation(of_class)[:per_class])
    return rng.permutation(np.concatenate(rows))


def names_sha256(images: LabelledImages) -> str:
    """Hash of the images' names in their order, and of their labels where they have no names."""
    if images.file_name is None:
        return sha256_text(repr(images.labels.tolist()))
    return sha256_text("\n".join(images.file_name(row) for row in range(len(images))))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
