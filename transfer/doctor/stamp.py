"""Remembers which data were found to be in order, by their paths, sizes and times."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from twist_common.errors import UserError
from twist_common.files import sha256_text, write_text

# Raised whenever the doctor learns to find something new.
VERSION = 6


def fingerprint(root: Path, parts: Sequence[str] | None) -> str:
    """Hash of the path, size and modification time of every file, without opening one.

    Args:
        parts: folders and files below ``root``; one that does not exist counts as empty. None: all of them.
    """
    digest = hashlib.sha256(f"doctor {VERSION}\n".encode())
    with os.scandir(root) as scan:
        for line in _listing([entry for entry in scan if parts is None or entry.name in parts], set()):
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _listing(entries: Iterable[os.DirEntry[str]], entered: set[tuple[int, int]]) -> Iterator[str]:
    """One line for each file; a folder that links reach several times is entered once."""
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_dir():
            status = entry.stat()
            if (status.st_dev, status.st_ino) not in entered:
                entered.add((status.st_dev, status.st_ino))
                with os.scandir(entry.path) as scan:
                    yield from _listing(scan, entered)
            continue
        with contextlib.suppress(OSError):  # a link to nowhere: the check itself will name it
            status = entry.stat()
            yield f"{entry.path}\0{status.st_size}\0{status.st_mtime_ns}\n"


def is_known(name: str, root: Path, seen: str) -> bool:
    """Whether this data set was in order when it had this fingerprint."""
    path = cache_path("checked", name, root, ".txt")
    return path.is_file() and path.read_text(encoding="utf-8") == seen


def remember(name: str, root: Path, seen: str) -> None:
    """Notes that it was; where nothing can be written, the next check reads everything again."""
    with contextlib.suppress(UserError, OSError):
        write_text(cache_path("checked", name, root, ".txt"), seen)


def remembered(kind: str, paths: Iterable[Path], compute: Callable[[], str]) -> str:
    """What was computed from these files, which are not read again while sizes and times stay the same."""
    return remembered_as(kind, sha256_text("\n".join(_state(path) for path in paths)), compute)


def remembered_as(kind: str, key: str, compute: Callable[[], str]) -> str:
    """What was computed under this key, once."""
    cache = user_cache(kind) / key
    if cache.is_file():
        return cache.read_text(encoding="utf-8")
    computed = compute()
    with contextlib.suppress(UserError, OSError):  # a cache that cannot be written to: computed again next time
        write_text(cache, computed)
    return computed


def _state(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{path}\0missing"
    # the time of change (ctime) cannot be set back, as that of modification can
    return f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\0{status.st_ino}"


def cache_path(kind: str, stem: str, folder: Path, suffix: str) -> Path:
    """The user's own file for what is remembered about a folder of data."""
    return user_cache(kind) / f"{stem}-{sha256_text(str(folder))[:16]}{suffix}"


def user_cache(kind: str) -> Path:
    """The user's own folder for what is remembered of one kind."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twist-transfer" / kind
