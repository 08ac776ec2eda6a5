"""CIFAR-10 and CIFAR-100, 32x32, in their Python or their binary version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfer.rows import LabelledDataset, Split
from transfer.tasks.classification.datasets.home import Home, split_name
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.classification.datasets.safe_pickle import load_arrays

NUM_PIXELS = 32 * 32
ROW_BYTES = 3 * NUM_PIXELS  # red, green, blue planes


@dataclass(frozen=True, kw_only=True)
class Version:
    """How a version is laid out.

    Attributes:
        files: a split's batches.
        labels: key of the labels in a pickle; in the binary version, which of the bytes before the pixels is the label.
        names: file of the class names, and their key if it is a pickle.
        label_bytes: in the binary version, the number of bytes before the pixels; 0 for pickles.
    """

    folder: str
    files: Mapping[str, Sequence[str]]
    labels: str | int
    names: tuple[str, str]
    label_bytes: int = 0


VERSIONS: dict[str, tuple[Version, Version]] = {
    "cifar10": (
        Version(
            folder="cifar-10-batches-py",
            files={"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]},
            labels="labels",
            names=("batches.meta", "label_names"),
        ),
        Version(
            folder="cifar-10-batches-bin",
            files={"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]},
            labels=0,
            names=("batches.meta.txt", ""),
            label_bytes=1,
        ),
    ),
    "cifar100": (
        Version(
            folder="cifar-100-python",
            files={"train": ["train"], "test": ["test"]},
            labels="fine_labels",
            names=("meta", "fine_label_names"),
        ),
        Version(
            folder="cifar-100-binary",
            files={"train": ["train.bin"], "test": ["test.bin"]},
            labels=1,  # after the coarse one
            names=("fine_label_names.txt", ""),
            label_bytes=2,
        ),
    ),
}


def list_split(row: LabelledDataset, root: Path, split: Split) -> LabelledImages:
    """All images of the split in memory, 3 kB each. The Python version's pickles are read as plain data.

    Raises:
        DataFileError: a file is missing or damaged.
    """
    python, binary = VERSIONS[row.name]
    version, home = python, Home.find(row, root, python.names[0], python.folder)
    if not (home.folder / python.names[0]).is_file():
        other = Home.find(row, root, binary.names[0], binary.folder)
        if (other.folder / binary.names[0]).is_file():
            version, home = binary, other
    names_file, names_key = version.names
    if version.label_bytes:
        classes = tuple(home.lines(names_file))
    else:
        classes = tuple(str(name) for name in _unpickle(home, names_file, [names_key])[names_key])
    batches = [_read_batch(home, version, name) for name in version.files[split]]
    pixels = np.concatenate([batch[0] for batch in batches])
    labels = np.concatenate([batch[1] for batch in batches])
    if not 0 <= labels.min() <= labels.max() < len(classes):
        raise home.damaged(home.file(version.files[split][0]), f"a label is not from 0 to {len(classes) - 1}")
    names = [
        f"{home.name(name)}#{number}"
        for name, batch in zip(version.files[split], batches, strict=True)
        for number in range(len(batch[1]))
    ]
    planes = pixels.reshape(-1, 3, 32, 32)
    return LabelledImages(
        name=split_name(row, split),
        classes=classes,
        labels=labels,
        read=lambda row: Image.fromarray(np.ascontiguousarray(planes[row].transpose(1, 2, 0))),
        names=names,
    )


def _read_batch(home: Home, version: Version, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(N, 3072) pixels and (N,) labels."""
    if version.label_bytes:
        content = np.fromfile(home.file(name), dtype=np.uint8)
        width = version.label_bytes + ROW_BYTES
        if len(content) == 0 or len(content) % width:
            raise home.damaged(home.file(name), f"its size is no multiple of {width} bytes")
        rows = content.reshape(-1, width)
        assert isinstance(version.labels, int)
        return rows[:, version.label_bytes :], rows[:, version.labels].astype(np.int64)
    assert isinstance(version.labels, str)
    batch = _unpickle(home, name, ["data", version.labels])
    pixels, labels = batch["data"], np.asarray(batch[version.labels])
    sound = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape == (len(labels), ROW_BYTES)
    if not sound or labels.dtype.kind != "i":
        raise home.damaged(home.file(name), f"it does not hold {ROW_BYTES} bytes and a label for each image")
    return pixels, labels.astype(np.int64)


def _unpickle(home: Home, name: str, keys: Sequence[str]) -> dict[str, Any]:
    path = home.file(name)
    try:
        content = load_arrays(path.read_bytes())
        return {key: content[key] for key in keys}
    except Exception as error:  # unpickling a damaged file may raise anything
        reason = f"it is no pickle of plain data: {type(error).__name__}: {error}"
        raise home.damaged(path, reason) from None
