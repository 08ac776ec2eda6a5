"""Files that must not be lost: written under a temporary name, flushed, then renamed."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from twist_common.errors import UserError
from twist_common.process import process_start

ABANDONED_SECONDS = 86400.0  # without a write: a file that was to take less is one of a process that is gone
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that becomes ``path`` if the block succeeds, and is removed otherwise.

    Remains of the same file from a process that was killed are removed, too.

    Raises:
        UserError: the folder cannot be created or written to.
        OSError: writing failed; it names ``path``.
    """
    make_dir(path.parent)
    for left in path.parent.glob(f".{glob.escape(path.stem.removeprefix('.'))}.*.tmp{glob.escape(path.suffix)}"):
        if is_unfinished(left):
            with contextlib.suppress(OSError):  # another user's
                left.unlink()
    temporary = path.with_name(temporary_name(path.stem, path.suffix))
    try:
        with named_in_errors(path, temporary):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # e.g. a lost permission: the earlier error is the one to report
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named_in_errors(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turns every system error that is raised while the block writes to ``path`` into an OSError that names ``path``.

    This includes errors that name ``temporary``, which means nothing to the user. Python names no path if a write
    fails, torch hides system errors in RuntimeErrors, and safetensors has the error number in its text.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno):
            cause = None if cause.__suppress_context__ else cause.__context__
        number = cause.errno if isinstance(cause, OSError) else None
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(found[1])
        if number is None or (isinstance(error, OSError) and error.filename not in (None, str(path), str(temporary))):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def link_or_copy(path: Path, copy: Path) -> None:
    """Makes ``copy`` a second name of the file or, on a file system without hard links, writes it again."""
    try:
        copy.hardlink_to(path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(path, copy)


def temporary_name(stem: str, suffix: str = "") -> str:
    """A name for a file that this process is writing, from which others on this host see whether it is abandoned.

    The suffix stays last, because savers such as matplotlib and torch choose the format by it.
    """
    return f".{stem.removeprefix('.')}.{platform.node()}-{os.getpid()}.tmp{suffix}"


def is_unfinished(path: Path) -> bool:
    """Whether the file has a :func:`temporary_name` of a process that has ended.

    Processes of other hosts cannot be seen: they count as ended if nothing was written for :data:`ABANDONED_SECONDS`.
    """
    if own := re.fullmatch(rf"\..*\.{re.escape(platform.node())}-(\d+)\.tmp.*", path.name, re.DOTALL):
        return process_start(int(own[1])) is None
    if not re.fullmatch(r"\..*\..+-\d+\.tmp.*", path.name, re.DOTALL):
        return False
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
    return False


def remove_unfinished(folder: Path) -> None:
    """Removes the files below ``folder`` that processes were writing when they were killed."""
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
    """Creates ``path`` and its parents, and checks that it is writable.

    Raises:
        UserError: it is not, or its name is not UTF-8, which safetensors and others require.
    """
    if str(path) != str(path).encode(errors="replace").decode():
        raise UserError(f"{path} has a name that is not UTF-8: choose another --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create the folder {path} ({error.strerror}): choose a writable place with --out"
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
