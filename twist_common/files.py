"""Files that must last: written under a temporary name, flushed, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from twist_common.errors import UserError
from twist_common.process import process_start


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that becomes ``path`` if the block succeeds, and is removed if not.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    make_dir(path.parent)
    temporary = path.with_name(temporary_name(path.stem, path.suffix))
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(stem: str, suffix: str = "") -> str:
    """A name for a file that this process is writing; by it others on this host see when it will never be finished.

    The suffix stays last: savers such as matplotlib and torch choose a format by it.
    """
    return f".{stem.removeprefix('.')}.{platform.node()}-{os.getpid()}.tmp{suffix}"


def is_unfinished(path: Path) -> bool:
    """Whether the file has a :func:`temporary_name` of a process of this host that is gone."""
    match = re.fullmatch(rf"\..*\.{re.escape(platform.node())}-(\d+)\.tmp.*", path.name, re.DOTALL)
    return match is not None and process_start(int(match[1])) is None


def remove_unfinished(folder: Path) -> None:
    """Removes the files below ``folder`` that processes of this host were writing when they were killed."""
    for path in folder.rglob(".*.tmp*"):
        if is_unfinished(path):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, whole or not at all; an equal file is not touched."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_dir(path: Path) -> Path:
    """Makes ``path`` and its parents, and checks that it can be written to.

    Raises:
        UserError: it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {path} ({error.strerror}): choose a writable place with --out"
        ) from None
    if not os.access(path, os.W_OK):
        raise UserError(f"cannot write to {path}: choose a writable place with --out")
    return path


def sha256_file(path: Path) -> str:
    """SHA-256 of the file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of the text as UTF-8, as 64 hex digits."""
    return sha256_bytes(text.encode())


def sha256_bytes(content: bytes) -> str:
    """SHA-256 of the bytes, as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()
