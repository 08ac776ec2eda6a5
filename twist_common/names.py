"""The names of millions of images, in two arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from twist_common.files import sha256_text


class PackedNames:
    """Strings by their index.

    Loading processes share the memory that they are forked with for as long as nothing writes to it. A list of strings
    would end up copied into each of them, a gigabyte for a few million names, because Python writes reference counts.
    """

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [name.encode() for name in names]
        self._text = b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        start = int(self._ends[index - 1]) if index else 0
        return self._text[start : int(self._ends[index])].decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def sha256(self) -> str:
        """Hash of the names and their order."""
        return sha256_text("\n".join(self))
