"""A data set's folder: finds and reads the files that list the splits, and names their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.labelled import LabelledImages
from twist_common.errors import UserError, is_not_the_files
from twist_common.images import rgb


class DataFileError(UserError):
    """A file that says what is in a split is missing or damaged.

    Attributes:
        name: the file, below the data root.
        missing: whether it is missing; else it is damaged.
        reason: why it is considered damaged, in brackets; empty if it is missing.
    """

    def __init__(self, message: str, name: str, *, missing: bool, reason: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.missing = missing
        self.reason = reason


@dataclass(frozen=True)
class Home:
    """Where a data set's archive was unpacked.

    Attributes:
        root: the data root, as the user gave it.
        folder: the root, or the folder in it that the archive unpacks to.
    """

    row: LabelledDataset
    root: Path
    folder: Path

    @classmethod
    def find(cls, row: LabelledDataset, root: Path, marker: str, *places: str) -> Home:
        """The first of the root and ``places`` below it that holds ``marker``; if none does, the first place.

        Args:
            marker: a file or folder that each copy of the data set has.
            places: folders below the root, as archives unpack and as torchvision lays them out.
        """
        for place in ("", *places):
            if (root / place / marker).exists():
                return cls(row, root, root / place)
        return cls(row, root, root / (places[0] if places else ""))

    def file(self, *names: str) -> Path:
        """The first of these files that exists.

        Raises:
            DataFileError: none does.
        """
        for name in names:
            if (self.folder / name).is_file():
                return self.folder / name
        raise self.missing(names[0])

    def folder_of(self, name: str) -> Path:
        """The folder of this name.

        Raises:
            DataFileError: there is none.
        """
        if not (self.folder / name).is_dir():
            raise self.missing(name + "/")
        return self.folder / name

    def lines(self, *names: str) -> list[str]:
        """The lines of the first of these files that exists, stripped, without empty ones.

        Raises:
            DataFileError: it is missing, empty or no text.
        """
        path = self.file(*names)
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            if is_not_the_files(error):
                raise
            raise self.damaged(path, str(error)) from None
        if not any(lines):
            raise self.damaged(path, "it is empty")
        return [line for line in lines if line]

    def matlab(self, path: Path, variable: str) -> NDArray:
        """A variable of a MATLAB file, without axes of length 1; no other variable is read.

        Raises:
            DataFileError: it is damaged or has no such variable.
        """
        from scipy.io import loadmat

        try:
            return np.atleast_1d(loadmat(str(path), squeeze_me=True, variable_names=[variable])[variable])
        except KeyError:
            raise self.damaged(path, f"no variable {variable!r}") from None
        except Exception as error:  # on damaged files scipy may raise anything
            raise self.damaged(path, f"{type(error).__name__}: {error}") from None

    def images(
        self, split: Split, names: Sequence[str], labels: Sequence[int] | NDArray[np.integer], classes: Sequence[str]
    ) -> LabelledImages:
        """The images of a split that are files ``names`` below the folder; ``labels`` in a list become int64."""
        root, below = self.root, [self.name(name) for name in names]
        return LabelledImages(
            name=split_name(self.row, split),
            classes=tuple(classes),
            labels=labels if isinstance(labels, np.ndarray) else np.asarray(labels, dtype=np.int64),
            read=lambda row: read_rgb(root / below[row], root / below[row], "fetch and unpack the data set again"),
            names=below,
            root=root,
        )

    def name(self, below: str) -> str:
        """The path below the data root of what is at ``below`` in the folder."""
        return below if self.folder == self.root else f"{self.folder.relative_to(self.root).as_posix()}/{below}"

    def labels_of(self, path: Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
        """The label of each class name in the list ``path``.

        Raises:
            DataFileError: a name is not among the classes.
        """
        number = {name: label for label, name in enumerate(classes)}
        try:
            return [number[name] for name in names]
        except KeyError as error:
            raise self.damaged(path, f"it lists the class {error}, which does not exist") from None

    def missing(self, name: str) -> DataFileError:
        """The error for a file or folder that is not there."""
        name, guide = self.name(name), self.row.guide.format(root=self.root)
        return DataFileError(f"{self.row.title} in {self.root} has no {name}: {guide}", name, missing=True)

    def damaged(self, path: Path, why: str) -> DataFileError:
        """The error for a file that does not hold what it should."""
        name = path.relative_to(self.root).as_posix()
        reason = f" ({' '.join(why.split())})"
        message = f"cannot use {name} of {self.row.title} in {self.root}{reason}: fetch and unpack its archive again"
        return DataFileError(message, name, missing=False, reason=reason)


def split_name(row: LabelledDataset, split: Split) -> str:
    """What messages call a split, e.g. ``"imagenet val"`` for its test images."""
    return f"{row.name} {row.test_split if split == 'test' else split}"


def read_rgb(file: Path | BytesIO, called: object, remedy: str) -> Image.Image:
    """The image in RGB.

    Args:
        called, remedy: for messages: the image, and what to do if it is missing or damaged.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Image.open(file) as image:
            return rgb(image)
    except FileNotFoundError:
        raise UserError(f"there is no image {called}: {remedy}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if is_not_the_files(error):
            raise
        raise UserError(f"cannot read the image {called} ({error}): {remedy}") from None
