"""CIFAR: both published versions give the same, and pickles are read as plain data."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.classification_fixtures import FIXTURES, assert_as_written
from transfer import datasets
from transfer.tasks.classification.datasets import list_split, open_splits
from transfer.tasks.classification.datasets.safe_pickle import load_arrays
from twist_common.errors import UserError


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_binary_cifar_gives_the_same_as_its_pickles(name: str, tmp_path: Path) -> None:
    root = tmp_path / "python"
    written = FIXTURES[name](root)
    folder, names_file = ("cifar-10-batches-bin", "batches.meta.txt")
    if name == "cifar100":
        folder, names_file = ("cifar-100-binary", "fine_label_names.txt")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / names_file).write_text("\n".join(written.classes) + "\n\n")  # CIFAR-10's ends so
    for split in ("train", "test"):
        listing = list_split(datasets.get(name), root, split)
        rows = [
            bytes([label] if name == "cifar10" else [7, label])
            + np.asarray(listing.read(row)).transpose(2, 0, 1).tobytes()
            for row, label in enumerate(listing.labels)
        ]
        files = [f"{split}.bin"]
        if name == "cifar10":
            files = [f"data_batch_{n}.bin" for n in range(1, 6)] if split == "train" else ["test_batch.bin"]
        for part, file in zip(np.array_split(np.arange(len(rows)), len(files)), files, strict=True):
            (tmp_path / folder / file).write_bytes(b"".join(rows[row] for row in part))
    splits = open_splits(datasets.get(name), tmp_path)
    assert_as_written(splits.train, written, "train")
    assert_as_written(splits.test.open(), written, "test")


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harm"),)  # type: ignore[return-value]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FIXTURES["cifar10"](tmp_path)
    path = tmp_path / "cifar-10-batches-py/data_batch_3"
    path.write_bytes(pickle.dumps({"data": Harmful(), "labels": [0]}, protocol=protocol))
    with pytest.raises(
        UserError, match=r"data_batch_3 of CIFAR-10 .* no pickle of plain data: UnpicklingError: it asks"
    ):
        open_splits(datasets.get("cifar10"), tmp_path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_pickled_by_python_3_are_read(protocol: int) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(load_arrays(pickle.dumps([array], protocol=protocol))[0], array)
