"""Perceptual hashes of many images: on all cores, and remembered by each image's name, size and time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from transfer.doctor.files import BROKEN
from transfer.doctor.near_duplicates.stored import Stored
from transfer.doctor.stamp import cache_path
from twist_common.errors import UserError
from twist_common.files import atomic_path
from twist_common.images import eight_bits
from twist_common.process import without_main
from twist_common.progress import Progress

HASH = "phash, 64 bits; test images also mirrored"
DRAFT_SIDE = 128  # a JPEG is decoded at the smallest scale with this many pixels per side
PART = 64  # images that a process is given at a time
SAVED_EVERY = 50_000  # images: what was hashed before the command is killed need not be hashed again
FEW = 1000  # images that are not worth the start of processes

Values = tuple[int, int, int]


@dataclass(frozen=True)
class Hashes:
    """The hashes of N images, in order.

    Attributes:
        plain: (N,) uint64, perceptual hashes.
        mirrored: (N,) uint64, those of the mirrored images; 0 where nobody asked for them.
        digests: (N,) uint64, of the images' bytes.
        readable: (N,) bool; what the others hold means nothing.
    """

    plain: NDArray[np.uint64]
    mirrored: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    readable: NDArray[np.bool_]

    @classmethod
    def of(cls, values: Sequence[Values | None]) -> Hashes:
        """From one triple for each image, None where it could not be read."""
        columns = np.array([value or (0, 0, 0) for value in values], dtype=np.uint64).reshape(-1, 3)
        return cls(columns[:, 0], columns[:, 1], columns[:, 2], np.array([value is not None for value in values]))


def perceptual_hash(image: Image.Image) -> int:
    """64 bits: which of the image's lowest 8 x 8 frequencies are over their median."""
    bits = imagehash.phash(image).hash.ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_image(image: Image.Image, content: bytes, *, mirrored: bool) -> Values:
    """Its hash, that of its mirror image if wanted, and the digest of its bytes."""
    return perceptual_hash(image), perceptual_hash(ImageOps.mirror(image)) if mirrored else 0, digest(content)


def digest(content: bytes) -> int:
    """64 bits that identify the content."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def hash_stored(item: Stored, mirrored: bool) -> Values | None:
    """:func:`hash_image` of a stored image; None if it cannot be read."""
    try:
        content = item.read()
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (DRAFT_SIDE, DRAFT_SIDE))
            image.load()
            return hash_image(eight_bits(image), content, mirrored=mirrored)
    except BROKEN:
        return None


def hash_test(items: Sequence[Stored], progress: Progress) -> Hashes:
    """Hashes of test images and of their mirror images."""
    return _hash_all(items, True, lambda done: progress(done, len(items), "hashing test images"))


def hash_training(items: Sequence[Stored], folder: Path, progress: Progress) -> Hashes:
    """Hashes of pre-training images; those that are unchanged since the last time are not read again.

    Args:
        folder: the images' root, by which their hashes are remembered.
    """
    identities = (f"{item.name}\0{item.offset}\0{item.size}\0{item.mtime_ns}" for item in items)
    keys = np.array([digest(text.encode("utf-8", "surrogateescape")) for text in identities], dtype=np.uint64)
    memory = _Memory.load(folder)
    plain, digests, known = memory.find(keys)
    waiting = np.flatnonzero(~known)
    readable = known.copy()
    for start in range(0, len(waiting), SAVED_EVERY):
        rows = waiting[start : start + SAVED_EVERY]
        before = len(items) - len(waiting) + start

        def report(done: int, before: int = before) -> None:
            progress(before + done, len(items), "hashing pre-training images")

        new = _hash_all([items[row] for row in rows], False, report)
        plain[rows], digests[rows], readable[rows] = new.plain, new.digests, new.readable
        memory.add(keys[rows][new.readable], new.plain[new.readable], new.digests[new.readable])
        memory.save(folder)
    return Hashes(plain, np.zeros_like(plain), digests, readable)


def _hash_all(items: Sequence[Stored], mirrored: bool, report: Callable[[int], None]) -> Hashes:
    num_cores = len(os.sched_getaffinity(0))
    workers: Executor = ThreadPoolExecutor(num_cores)
    if len(items) >= FEW:
        workers = ProcessPoolExecutor(num_cores, mp_context=multiprocessing.get_context("forkserver"))
    values: list[Values | None] = []
    with without_main(), workers:
        for found in workers.map(functools.partial(hash_stored, mirrored=mirrored), items, chunksize=PART):
            values.append(found)
            report(len(values))
    return Hashes.of(values)


@dataclass
class _Memory:
    """What was hashed before: (M,) keys, sorted, with a hash and a digest each; all uint64."""

    keys: NDArray[np.uint64]
    plain: NDArray[np.uint64]
    digests: NDArray[np.uint64]

    @staticmethod
    def path(folder: Path) -> Path:
        """The file that remembers the images of a folder."""
        return cache_path("hashes", f"phash{DRAFT_SIDE}-of-8-bits", folder.resolve(), ".npz")

    @classmethod
    def load(cls, folder: Path) -> _Memory:
        """What is remembered of a folder; nothing if that cannot be read."""
        try:
            with np.load(cls.path(folder), allow_pickle=False) as file:
                memory = cls(*(file[name].astype(np.uint64) for name in ("keys", "plain", "digests")))
            if len({len(memory.keys), len(memory.plain), len(memory.digests)}) == 1:
                return memory
        except Exception:  # no file, or whatever reading a damaged one runs into: all is hashed again
            pass
        return cls(*(np.zeros(0, dtype=np.uint64) for _ in range(3)))

    def find(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
        """Hash and digest of each key, and whether it is known."""
        if not len(self.keys):
            return np.zeros_like(keys), np.zeros_like(keys), np.zeros(len(keys), dtype=bool)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.plain[place], self.digests[place], self.keys[place] == keys

    def add(self, keys: NDArray[np.uint64], plain: NDArray[np.uint64], digests: NDArray[np.uint64]) -> None:
        """Adds images that were not known."""
        order = np.argsort(all_keys := np.concatenate([self.keys, keys]))
        self.keys = all_keys[order]
        self.plain = np.concatenate([self.plain, plain])[order]
        self.digests = np.concatenate([self.digests, digests])[order]

    def save(self, folder: Path) -> None:
        """Remembers them; where nothing can be written, all are hashed again the next time."""
        with contextlib.suppress(UserError, OSError), atomic_path(self.path(folder)) as temporary:
            np.savez(temporary, keys=self.keys, plain=self.plain, digests=self.digests)
