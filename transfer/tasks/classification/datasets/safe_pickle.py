"""Unpickles containers of numbers, text and NumPy arrays, and nothing that could be executed."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct  # what pickled arrays begin with


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 puts bytes into pickles that Python 2 can read; other codecs are refused."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}")
    return text.encode("latin1")


# What a pickled array of any age is made of: (module, name) in the file.
_ARRAY_PARTS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_PARTS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ARRAY_PARTS[module, name]


def load_arrays(content: bytes) -> Any:
    """The object in a pickle; the strings of Python 2 become Latin-1 text.

    Raises:
        pickle.UnpicklingError: it asks for anything but arrays and plain containers.
        Exception: any other, if the pickle is damaged.
    """
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
