"""Training images in WebDataset shards: few large tar files, where a file system does not like a million small ones.

A sample is ``<key>.jpg`` (or another image) and, if there are labels, ``<key>.cls`` or a ``<key>.json`` with ``label``.
The tar headers are read once into an index of where each image lies, so that any image can be read alone: the order of
images, and a start in the middle of it, are then those of a folder of images.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from webdataset.autodecode import basichandlers
from webdataset.tariterators import group_by_keys

from common.errors import UserError
from common.files import atomic_path
from pretrain.names import PackedNames
from pretrain.ops import Array
from pretrain.order import WINDOW_SHARDS

INDEX_NAME = ".shard_index.npz"
_IMAGES = {"jpg", "jpeg", "png", "webp", "bmp", "ppm"}
_LABELS = {"cls", "json"}
_OPEN_SHARDS = 2 * WINDOW_SHARDS  # for each loading process, below the usual limit of 1,024 open files

# shard, offset (bytes), size (bytes), label; a row for each image
Places = NDArray[np.int64]


class ShardSource:
    """The images of the shards in a folder.

    Attributes:
        shards: the files, sorted by name.
        labels, sha256, shard_sizes: see :class:`pretrain.images.ImageSource`.
    """

    def __init__(self, folder: Path, index_dir: Path | None = None) -> None:
        """Reads the index, or makes it: beside the shards if it can be written there, else in ``index_dir``.

        Raises:
            UserError: a shard is damaged, holds no image or lacks some labels, or shards are sorted by class.
        """
        self.shards = find_shards(folder)
        state = _state(self.shards)
        homes = [folder] if index_dir is None else [folder, index_dir]
        found = (_load_index(home / INDEX_NAME, state) for home in homes)
        index = next((each for each in found if each is not None), None)
        if index is None:
            index = _build_index(self.shards)
            if os.access(folder, os.W_OK):
                _save_index(folder / INDEX_NAME, state, *index)
            elif index_dir is not None:
                _save_index(index_dir / INDEX_NAME, state, *index)
        self._places, keys = index
        self._keys = PackedNames(keys)
        self.labels = torch.from_numpy(self._places[:, 3].copy())
        self.shard_sizes = np.bincount(self._places[:, 0], minlength=len(self.shards)).tolist()
        self.sha256 = self._keys.sha256()
        self._open: OrderedDict[int, int] = OrderedDict()  # file descriptors by shard, the last used at the end
        _check_mixture(folder, self._places)

    def name(self, index: int) -> str:
        return f"{self.shards[self._places[index, 0]]}:{self._keys[index]}"

    def read(self, index: int) -> bytes:
        shard, offset, size, _ = self._places[index].tolist()
        if shard not in self._open:
            if len(self._open) >= _OPEN_SHARDS:
                os.close(self._open.popitem(last=False)[1])
            self._open[shard] = os.open(self.shards[shard], os.O_RDONLY)
        self._open.move_to_end(shard)
        return os.pread(self._open[shard], size, offset)  # takes no note of a position, so processes can share the file


def find_shards(folder: Path) -> list[Path]:
    """The shards to train on: ``*.tar`` in ``folder``, where there are no folders beside them.

    Where training and validation shards lie together, only those with ``train`` in their names.
    """
    found = sorted(folder.glob("*.tar"))
    if any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir()):
        return []  # class folders; the archives they came in may still be there
    return [path for path in found if "train" in path.name] or found


def _state(shards: list[Path]) -> str:
    """What has to be unchanged for an index to be valid."""
    stats = [(path.name, path.stat()) for path in shards]
    return "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)


def _build_index(shards: list[Path]) -> tuple[Places, list[str]]:
    rows: list[tuple[int, int, int, int]] = []
    keys: list[str] = []
    unlabelled = ""
    for number, shard in enumerate(shards):
        before = len(rows)
        for sample in _samples(shard):
            image = next((value for suffix, value in sample.items() if suffix in _IMAGES), None)
            if image is None:
                continue
            label = _label(shard, sample)
            if label is None:
                unlabelled = unlabelled or f"{shard}:{sample['__key__']}"
            rows.append((number, *image, -1 if label is None else label))
            keys.append(sample["__key__"])
        if len(rows) == before:
            raise UserError(f"{shard} holds no image: samples are <key>.jpg and <key>.cls")
    places = np.array(rows, np.int64)
    if unlabelled:
        if (places[:, 3] >= 0).any():
            raise UserError(f"{unlabelled} has no label, but others have: add <key>.cls to it, or take it out")
        places[:, 3] = 0
    return places, keys


def _samples(shard: Path) -> Iterator[dict[str, Any]]:
    """The samples of a shard: image suffixes with (offset, size), label suffixes with their content.

    Raises:
        UserError: the file is no tar file, ends too early or holds a name twice.
    """

    try:
        with tarfile.open(shard, "r:") as archive:
            yield from group_by_keys(_members(archive, shard))
    except (tarfile.TarError, OSError, ValueError) as error:
        reason = str(error.args[0]) if error.args else "unreadable"
        raise UserError(f"the shard {shard} is damaged ({reason}): fetch or write it again") from None


def _members(archive: tarfile.TarFile, shard: Path) -> Iterator[dict[str, Any]]:
    end = 0
    for member in archive:
        end = member.offset_data
        if not member.isreg():
            continue
        end += -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if re.match(r"__[^/]*__($|/)", member.name):  # the format's notes about itself
            continue
        content: Any = (member.offset_data, member.size)
        if member.name.rpartition(".")[2].lower() in _LABELS:
            file = archive.extractfile(member)
            assert file is not None
            content = file.read()
        yield {"fname": member.name, "data": content, "__url__": str(shard)}
    # tarfile takes a header that is cut short for the end.
    with shard.open("rb") as raw:
        raw.seek(end)
        if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends too early")


def _label(shard: Path, sample: dict[str, Any]) -> int | None:
    suffix = next((suffix for suffix in ("cls", "json") if suffix in sample), None)
    if suffix is None:
        return None
    try:
        value = basichandlers(suffix, sample[suffix])
        return int(value["label"] if suffix == "json" else value)
    except (ValueError, TypeError, KeyError):
        name = f"{sample['__key__']}.{suffix}"
        raise UserError(f"{name} in {shard} holds no label: a .cls is a number, a .json has one as 'label'") from None


def _check_mixture(folder: Path, places: Places) -> None:
    """Batches are drawn from a window of shards, which has to hold most classes."""
    num_shards, num_labels = (len(np.unique(column)) for column in (places[:, 0], places[:, 3]))
    labels_of_shards = len(np.unique(places[:, [0, 3]], axis=0))
    if num_shards > WINDOW_SHARDS and labels_of_shards / num_shards * WINDOW_SHARDS < num_labels / 2:
        raise UserError(
            f"the shards in {folder} hold {labels_of_shards / num_shards:.0f} of {num_labels} classes each: "
            "write them again from shuffled images, since a batch is drawn from a few shards"
        )


def _load_index(path: Path, state: str) -> tuple[Places, list[str]] | None:
    """The index at ``path``; None if there is none, or the shards are others by now."""
    try:
        with np.load(path) as saved:
            if saved["state"].tobytes().decode() != state:
                return None
            return saved["places"], saved["keys"].tobytes().decode().split("\n")
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _save_index(path: Path, state: str, places: Places, keys: list[str]) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, state=_bytes(state), places=places, keys=_bytes("\n".join(keys)))


def _bytes(text: str) -> Array:
    return np.frombuffer(text.encode(), np.uint8)
