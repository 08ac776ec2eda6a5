"""Images in WebDataset shards, read one by one: the tar headers are read once into an index of where each image is.

A sample is ``<key>.jpg`` (or another image) and, if there are labels, ``<key>.cls`` or a ``<key>.json`` with ``label``,
one after the other. What follows the first dot of a name is its kind, as webdataset has it
(https://github.com/webdataset/webdataset/issues/237).
"""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twist_common.errors import UserError, is_not_the_files
from twist_common.files import atomic_path
from twist_common.images import IMAGE_SUFFIXES, is_image
from twist_common.names import PackedNames

INDEX_NAME = ".shard_index.npz"
FORMAT = "2"  # of the index; an index of another one is made again
ARCHIVES = (".tar", ".tgz", ".gz", ".zip", ".7z", ".rar")
_IMAGES = {suffix[1:] for suffix in IMAGE_SUFFIXES}
_LABELS = {"cls", "json"}

# shard, offset (bytes), size (bytes), label; a row for each image
Places = NDArray[np.int64]


class TarShards:
    """The images of some shards, by their index.

    Attributes:
        shards: the files.
        places: where each image is; labels are all 0 where there are none.
        keys: the name of each image in its shard.
    """

    def __init__(
        self, shards: list[Path], index_dirs: list[Path], *, index_name: str = INDEX_NAME, max_open: int = 256
    ) -> None:
        """Reads the index, or makes it.

        Args:
            index_dirs: where the index may be; it is written to the first of them that can be written to.
            index_name: of the index; shards of another split in the same folder need another one.
            max_open: shards that this process keeps open.

        Raises:
            UserError: a shard is missing or damaged, holds no image, holds images that would be left out, or lacks some
                labels.
        """
        self.shards = shards
        if missing := [path for path in shards if not path.exists()]:
            raise UserError(f"the shard {missing[0]} is a link to nothing: fetch it, or remove the link")
        stats = [(path.name, path.stat()) for path in shards]
        # What has to be unchanged for an index to be valid.
        state = "\n".join([FORMAT, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)])
        index = next(filter(None, (_load_index(home / index_name, state) for home in index_dirs)), None)
        if index is None:
            index = places, names = _build_index(shards)
            home = next((home for home in index_dirs if os.access(home, os.W_OK) or not home.exists()), None)
            if home is not None:
                with atomic_path(home / index_name) as temporary:
                    np.savez_compressed(temporary, state=_bytes(state), places=places, keys=_bytes("\n".join(names)))
        self.places, keys = index
        self.keys = PackedNames(keys)
        self._max_open = max_open
        self._open: OrderedDict[int, int] = OrderedDict()  # file descriptors by shard, the last used at the end

    def name(self, index: int) -> str:
        """What to call the image in a message."""
        return f"{self.shards[self.places[index, 0]]}:{self.keys[index]}"

    def read(self, index: int) -> bytes:
        """The image file's content."""
        shard, offset, size, _ = self.places[index].tolist()
        if shard not in self._open:
            if len(self._open) >= self._max_open:
                os.close(self._open.popitem(last=False)[1])
            self._open[shard] = os.open(self.shards[shard], os.O_RDONLY)
        self._open.move_to_end(shard)
        return os.pread(self._open[shard], size, offset)  # has no file position, so processes can share the file


def find_shards(folder: Path, split: str = "train") -> list[Path]:
    """The shards of a split: ``*.tar`` in ``folder``, where there are no folders beside them.

    Where training and validation shards are in one folder, only those with ``split`` in their names.

    Raises:
        UserError: images lie beside them.
    """
    found = sorted(folder.glob("*.tar"))
    beside = [path for path in folder.iterdir() if not path.name.startswith(".")] if found else []
    if any(path.is_dir() for path in beside):
        return []  # class folders; the archives they came in may still be there
    if image := next((path.name for path in beside if is_image(path.name)), ""):
        raise UserError(f"{folder} has both shards ({found[0].name}) and images ({image}): keep one of them there")
    return [path for path in found if split in path.name] or found


def _build_index(shards: list[Path]) -> tuple[Places, list[str]]:
    rows: list[tuple[int, int, int, int]] = []
    keys: list[str] = []
    unlabelled = ""
    for number, shard in enumerate(shards):
        seen: set[str] = set()
        before = len(rows)
        for sample in _samples(shard):
            key = sample["__key__"]
            if key in seen:
                raise UserError(f"{shard} holds {key} at two places: write it again, each sample once and in one piece")
            seen.add(key)
            image = next((value for suffix, value in sample.items() if suffix in _IMAGES), None)
            if image is None:
                _check_no_image(shard, key, sample)
                continue
            label = _label(shard, sample)
            if label is None:
                unlabelled = unlabelled or f"{shard}:{key}"
            rows.append((number, *image, -1 if label is None else label))
            keys.append(key)
        if len(rows) == before:
            raise UserError(f"{shard} holds no image: samples are <key>.jpg and <key>.cls")
    places = np.array(rows, np.int64)
    if unlabelled:
        if (places[:, 3] >= 0).any():
            raise UserError(f"{unlabelled} has no label, but others have: add <key>.cls to it, or take it out")
        places[:, 3] = 0
    return places, keys


def _check_no_image(shard: Path, key: str, kinds: Iterable[str]) -> None:
    """Raises UserError for what would be left out without a word: images with several dots in their names, archives."""
    for kind in kinds:
        if is_image(f".{kind}"):
            raise UserError(
                f"{shard} has the image {key}.{kind}, whose kind is all that follows the first dot: name images "
                "<key>.jpg, without other dots, and write the shard again"
            )
        if f".{kind}".endswith(ARCHIVES):
            raise UserError(f"{shard} has the archive {key}.{kind}: unpack both, and give the folder of the images")


def _samples(shard: Path) -> Iterator[dict[str, Any]]:
    """The samples of a shard: image suffixes with (offset, size), label suffixes with their content.

    Raises:
        UserError: the file is no tar file, ends too early, goes on behind its end, holds links in the place of images
            or a name twice.
    """
    from webdataset.tariterators import group_by_keys  # imports torch

    def members(archive: tarfile.TarFile) -> Iterator[dict[str, Any]]:
        end = 0
        for member in archive:
            end = member.offset_data
            if is_image(member.name) and (member.issym() or member.islnk()):
                raise UserError(
                    f"{shard} has a link in the place of {member.name}: write it again with "
                    "tar --dereference --hard-dereference"
                )
            if not member.isreg():
                continue
            end += -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if re.match(r"__[^/]*__($|/)", member.name):  # the format's notes about itself
                continue
            if not _is_text(member.name):
                raise UserError(f"{shard} has {member.name!r}, whose name is not UTF-8 or has a line end: rename it")
            content: Any = (member.offset_data, member.size)
            if member.name.rpartition(".")[2].lower() in _LABELS:
                file = archive.extractfile(member)
                assert file is not None
                content = file.read()
            yield {"fname": member.name, "data": content, "__url__": str(shard)}
        _check_end(shard, end)

    try:
        with tarfile.open(shard, "r:") as archive:
            yield from group_by_keys(members(archive))
    except (tarfile.TarError, OSError, ValueError) as error:
        if is_not_the_files(error):
            raise
        reason = str(error.args[0]) if error.args else "unreadable"
        raise UserError(f"the shard {shard} is damaged ({reason}): fetch or write it again") from None


def _check_end(shard: Path, end: int) -> None:
    """Raises tarfile.ReadError unless zeros alone follow: tarfile takes a header that is cut short, and a hole of zeros
    or the end of one of several joined archives, for the end.
    """
    with shard.open("rb") as raw:
        raw.seek(end)
        if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends too early")
        while block := raw.read(1 << 20):
            if block.strip(b"\0"):
                raise tarfile.ReadError("more follows behind its end: it has a hole, or archives were joined")


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode()) and "\n" not in name
    except UnicodeEncodeError:
        return False


def _label(shard: Path, sample: dict[str, Any]) -> int | None:
    """The label; None where there is none, a number below 0, or a JSON of something else, as img2dataset's captions."""
    from webdataset.autodecode import basichandlers  # imports torch

    suffix = next((suffix for suffix in ("cls", "json") if suffix in sample), None)
    if suffix is None:
        return None
    try:
        value = basichandlers(suffix, sample[suffix])
        if suffix == "json":
            value = value.get("label", -1)
        return int(value) if int(value) >= 0 else None
    except (ValueError, TypeError, AttributeError):
        name = f"{sample['__key__']}.{suffix}"
        raise UserError(f"{name} in {shard} holds no label: a .cls is a number, a .json has one as 'label'") from None


def _load_index(path: Path, state: str) -> tuple[Places, list[str]] | None:
    """The index at ``path``; None if there is none, or the shards have changed since."""
    try:
        with np.load(path) as saved:
            if saved["state"].tobytes().decode() != state:
                return None
            return saved["places"], saved["keys"].tobytes().decode().split("\n")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)
