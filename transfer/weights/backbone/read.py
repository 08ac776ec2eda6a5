"""A checkpoint's file or folder to plain containers and tensors. Nothing in it is imported, called or copied."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from transfer.trial import RANDOM_PREFIX
from transfer.weights.backbone.folder import parts_of
from transfer.weights.backbone.mapped import mapped, read_safetensors
from transfer.weights.backbone.rebuild import DamagedError
from transfer.weights.backbone.sniff import (
    HEADER,
    kind_by_suffix,
    kind_of_pickle,
    refuse_other_kinds,
    refuse_other_zips,
)
from transfer.weights.backbone.sums import check_sum
from transfer.weights.backbone.tree import plain
from transfer.weights.backbone.unpickle import Foreign, Name, Unpickler
from twist_common.errors import UserError
from twist_common.files import sha256_file, sha256_text

if TYPE_CHECKING:
    import torch

MAX_DIRECTORY = 32 << 20  # bytes of a zip archive's list of its files: 300,000 tensors
MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py: MAGIC_NUMBER, of files from before torch 1.6
BIG_ENDIAN = "it was saved on a big-endian machine: save it again on a little-endian one"
RUNS_COMMANDS = ("os", "posix", "nt", "subprocess", "pty", "shutil", "runpy", "ctypes")
RUNS_CODE = ("eval", "exec", "compile", "__import__", "open", "execfile")
"""Names that no training code leaves in a checkpoint. Nothing runs them here; a file with them is still refused."""


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """What ``torch.save`` wrote, a file of safetensors, or a Hugging Face folder (or its index), by what it contains.

    Tensors are views of the mapped file, so that entries that nobody looks at are not read. Objects other than
    tensors and plain containers are set aside unbuilt (:mod:`transfer.weights.backbone.unpickle`).

    Raises:
        UserError: no file, another kind of file (named, with the next step), damaged, or made to do harm.
    """
    if str(path).startswith(RANDOM_PREFIX):
        raise UserError(f"{path} has no file: each trial draws these weights anew; name them in a transfer command")
    if not path.exists():
        raise UserError(f"{path} does not exist: give the path of a .pth file")
    try:
        if parts := parts_of(path):
            return _merged(path, parts)
        return _read_file(path)
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from None


def check_sums(path: Path) -> None:
    """Refuses files whose archive has other checksums than it says (:mod:`transfer.weights.backbone.sums`)."""
    for part in parts_of(path) or [path]:
        check_sum(part)


def size_of(path: Path) -> int:
    """Bytes of the file, or of the files that a folder or an index stands for."""
    return sum(part.stat().st_size for part in parts_of(path) or [path])


def sha256_of(path: Path) -> str:
    """The file's; of a folder or an index, that of the names and hashes of its files."""
    parts = parts_of(path)
    if not parts:
        return sha256_file(path)
    return sha256_text("".join(f"{part.name} {sha256_file(part)}\n" for part in parts))


def _read_file(path: Path) -> Mapping[str, Any]:
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path} is empty: copy or download it again")
    with path.open("rb") as file:
        head = file.read(HEADER)
    refuse_other_kinds(path, head)
    try:
        if head[8:9] == b"{":  # by content: a suffix says nothing
            return read_safetensors(path)
        tree = plain(_read_zip(path) if head[:4] == b"PK\x03\x04" else _read_legacy(path), size)
    except UserError as error:
        said = str(error)
        raise UserError(said if said.startswith(str(path)) else f"{path} is not a checkpoint: {said}") from None
    except PermissionError:
        raise
    except Exception as error:  # whatever the bytes are: the unpickler and the archive reader raise almost any type
        if (other := kind_by_suffix(path)) is not None:
            raise other from None
        reason = f"{error}; " if isinstance(error, DamagedError) else ""
        raise UserError(
            f"{path} is not a checkpoint that can be loaded: {reason}"
            f"the file is damaged or of another kind; copy or download it again"
        ) from None
    if not isinstance(tree, Mapping):
        kind = tree.name if isinstance(tree, Foreign | Name) else type(tree).__name__
        raise UserError(f"{path} holds a {kind}, not a checkpoint's dict of tensors: torch.save the state dict alone")
    return tree


def _read_zip(path: Path) -> Any:
    """What torch has written since 1.6: ``NAME/data.pkl``, and each storage as ``NAME/data/KEY``, uncompressed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end: Any = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # ZipFile itself lists them all
    if end and end[zipfile._ECD_SIZE] > MAX_DIRECTORY:  # type: ignore[attr-defined]
        raise UserError("it is a zip archive of more files than any network has tensors")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
    if min((info.header_offset for info in members.values()), default=0) > 0:
        raise DamagedError("another file stands before its archive")
    refuse_other_zips(path, list(members))
    pickled = next(name for name in members if name.endswith("data.pkl"))
    prefix = pickled.removesuffix("data.pkl")
    whole = mapped(path)
    with path.open("rb") as file:

        def span(name: str) -> tuple[int, int]:
            info = members[name]
            file.seek(info.header_offset)
            header = file.read(30)
            start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
            if info.compress_type != zipfile.ZIP_STORED or start + info.file_size > size:
                raise DamagedError(f"its part {name} is compressed or cut off")
            return start, info.file_size

        if f"{prefix}byteorder" in members:
            file.seek(span(f"{prefix}byteorder")[0])
            if file.read(3) == b"big":
                raise UserError(BIG_ENDIAN)

        def storage(pid: Any) -> tuple[Any, torch.dtype]:
            dtype, key, num_bytes = _pid(pid)
            start, length = span(f"{prefix}data/{key}")
            if num_bytes > length:
                raise DamagedError(f"its storage {key} is cut off")
            return whole[start : start + num_bytes], dtype

        start, length = span(pickled)
        file.seek(start)
        content = file.read(length)
        return _unpickled(io.BytesIO(content), storage)


def _read_legacy(path: Path) -> Any:
    """What torch wrote before 1.6: pickles, then each storage's length and bytes. It is looked through for where."""

    size = path.stat().st_size
    found: dict[str, tuple[int, int]] = {}
    dtypes: dict[str, torch.dtype] = {}

    def look(pid: Any) -> Any:
        if isinstance(pid, tuple) and pid and pid[0] == "module":
            return pid[1]
        dtype, key, _ = _pid(pid)
        dtypes[key] = dtype
        return None, dtype

    def storage(pid: Any) -> Any:
        if isinstance(pid, tuple) and pid and pid[0] == "module":
            return pid[1]
        dtype, key, num_bytes = _pid(pid)
        start, length = found[key]
        if view := pid[5] if len(pid) > 5 else None:
            start, num_bytes = start + view[1] * dtype.itemsize, view[2] * dtype.itemsize
            length -= view[1] * dtype.itemsize
        if not 0 <= num_bytes <= length:
            raise DamagedError(f"its storage {key} is cut off")
        return whole[start : start + num_bytes], dtype

    with path.open("rb") as file:
        first = _unpickled(file, look)
        if first != MAGIC:
            raise UserError(kind_of_pickle(first))
        _, machine = _unpickled(file, look), _unpickled(file, look)  # the version comes first
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise UserError(BIG_ENDIAN)
        begin = file.tell()
        _unpickled(file, look)
        for key in _unpickled(file, look):
            at = file.tell() + 8
            (number,) = struct.unpack("<q", file.read(8))
            found[key] = at, number * dtypes[key].itemsize
            if number < 0 or at + found[key][1] > size:
                raise DamagedError(f"its storage {key} is cut off")
            file.seek(at + found[key][1])
        file.seek(begin)
        whole = mapped(path)
        return _unpickled(file, storage)


def _unpickled(file: IO[bytes], storage: Callable[[Any], Any]) -> Any:
    unpickler = Unpickler(file, storage)
    try:
        return unpickler.load()
    except Exception:
        if "torch.storage._load_from_bytes" in unpickler.names:
            raise UserError(
                "it is what pickle.dump wrote: pickle.load it where it was made, and torch.save its state dict"
            ) from None
        raise
    finally:
        for name in unpickler.names:
            module, _, rest = name.partition(".")
            if module in RUNS_COMMANDS or (module == "builtins" and rest in RUNS_CODE):
                raise UserError(
                    f"it refers to the Python object {name}, which is not run; it was made to do harm, "
                    f"or keeps functions: save tensors and plain containers only"
                )


def _pid(pid: Any) -> tuple[torch.dtype, str, int]:
    """Of a storage: type, key and bytes. ``("storage", torch.FloatStorage, "0", "cpu", number, ...)``."""
    import torch

    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], Name):
        raise DamagedError("its pickle refers to something that is no storage")
    kind = pid[1].name.rsplit(".", 1)[-1]
    dtype = torch.uint8 if kind == "UntypedStorage" else STORAGES.get(kind)
    if kind in ("QInt8Storage", "QUInt8Storage", "QInt32Storage"):
        raise UserError("its weights are quantised: give the checkpoint that they were made from")
    if dtype is None or type(pid[4]) is not int or pid[4] < 0:
        raise DamagedError(f"its pickle has a storage of the unknown type {pid[1].name}")
    found = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    return found, str(pid[2]), pid[4] * found.itemsize


STORAGES = {
    f"{name}Storage": dtype
    for name, dtype in {
        "Double": "float64",
        "Float": "float32",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
        "ComplexFloat": "complex64",
        "ComplexDouble": "complex128",
    }.items()
}


def _merged(path: Path, parts: list[Path]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        content = _read_file(part)
        if twice := merged.keys() & content.keys():
            raise UserError(f"{path}: {min(twice)} is in two of its files: download them again")
        merged.update(content)
    return merged
