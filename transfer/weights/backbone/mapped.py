"""A checkpoint's file in memory as far as somebody looks at it, and copies of what is wanted of it."""

from __future__ import annotations

import json
import mmap
import struct
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twist_common.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_JSON = 8 << 20  # bytes of a header or an index: 80,000 tensors
SPARE = 400 << 20
"""How many bytes more than its file has the tensors of a checkpoint may fill."""

_maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def mapped(path: Path) -> torch.UntypedStorage:
    """The file's bytes. What is written into them does not reach the file, and does not last."""
    import torch

    with path.open("rb") as file:
        found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    _maps.add(found)
    return torch.frombuffer(found, dtype=torch.uint8).untyped_storage()


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a file of safetensors, as views of it.

    Raises:
        UserError: its header is too long; the library raises its own type for one that it refuses.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import _TYPES

    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_JSON:
            raise UserError(f"its header has {length:,} bytes, more than that of any network")
        header = json.loads(file.read(length))
    with safe_open(path, "pt") as checked:  # that all offsets are inside and fit the shapes is for the library to say
        names = checked.keys()
    whole, begin = mapped(path), 8 + length
    tensors: dict[str, Any] = {}
    for name in names:
        dtype, (start, end) = _TYPES[header[name]["dtype"]], header[name]["data_offsets"]
        flat = torch.empty(0, dtype=dtype).set_(whole[begin + start : begin + end])
        tensors[name] = flat.reshape(header[name]["shape"])
    return tensors


def _give_back() -> None:
    """Frees the pages of all mapped files: the next look at them reads the file again."""
    for each in list(_maps):
        each.madvise(mmap.MADV_DONTNEED)


class Copies:
    """Copies of tensors outside of their file, which may change or go away then.

    They take no more than the copies' own memory: what was looked at is given back after each.

    Args:
        file_size: bytes; all tensors together may fill :data:`SPARE` more, in their own types.
        where: the file, for the refusal.
    """

    def __init__(self, file_size: int, where: str) -> None:
        self._left, self._where = file_size + SPARE, where

    def of(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The numbers in row-major order, as ``dtype``. What is expanded is copied once and stays expanded.

        Raises:
            UserError: more than the limit, as of many tensors that overlap in one storage.
        """
        import torch

        once = tensor.detach()[tuple(slice(0, 1) if step == 0 else slice(None) for step in tensor.stride())]
        self._left -= once.nbytes
        if self._left < 0:
            raise UserError(
                f"{self._where} has tensors that overlap, which would fill far more memory than the file has bytes: "
                f"it is damaged, or made to do harm"
            )
        copied = once.to(dtype or tensor.dtype, copy=True, memory_format=torch.contiguous_format)
        _give_back()
        return copied.expand(tensor.shape)
