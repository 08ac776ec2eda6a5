"""Archives of records, written by ``tools/report.sh --pack`` (:mod:`transfer.report.write.pack`), read back.

An archive is read without unpacking it: nothing in it is ever written to disk, and only regular files that its manifest
lists, with the hash that the manifest gives, are looked at.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any

from twist_common.errors import UserError, is_not_the_files
from twist_common.files import sha256_bytes
from twist_common.strict_json import brief, loads, reason

FORMAT = "twist-transfer-archive"
VERSION = 1
MANIFEST = "manifest.json"
SUFFIXES = (".tar.gz", ".tgz")

# A thousand trials with pictures stay far below these; a compressed bomb does not.
MAX_FILES = 100_000
MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 1 << 30


def is_archive(path: Path) -> bool:
    """Judged by its name; reading shows whether there is such a file."""
    return path.name.endswith(SUFFIXES) and not path.is_dir()


def read_archive(path: Path) -> dict[str, bytes]:
    """Name to content of every file that the manifest lists.

    Raises:
        UserError: no such file; not one of these archives; a name that leads out of it, a link or a device; more
            than the limits; a file that is missing or not what the manifest says.
    """
    try:
        with gzip.open(path, "rb") as unpacked:
            limited: Any = _Limited(unpacked, path)
            with tarfile.open(fileobj=limited, mode="r|") as archive:
                files = _members(archive, path)
        if MANIFEST not in files:
            raise _refused(path, f"it has no {MANIFEST}")
        manifest = loads(files.pop(MANIFEST))
        if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
            raise _refused(
                path, f"it is {brief(manifest['format'])} version {brief(manifest['version'])}, not {FORMAT} {VERSION}"
            )
        listed = manifest["files"]
        if lost := sorted(listed.keys() ^ files.keys()):
            raise _refused(path, f"{lost[0]!r} is in the manifest or in the archive, not in both")
        if changed := [name for name in sorted(files) if sha256_bytes(files[name]) != listed[name]["sha256"]]:
            raise _refused(path, f"{changed[0]!r} is not what the manifest says")
        return files
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, KeyError, TypeError, AttributeError) as error:
        if is_not_the_files(error):
            raise
        raise UserError(f"cannot read {path} as an archive of records ({reason(error)}): fetch it again") from None


def _members(archive: tarfile.TarFile, path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in archive:
        if PurePosixPath(entry.name).is_absolute() or ".." in PurePosixPath(entry.name).parts:
            raise _refused(path, f"{brief(entry.name)} leads out of it")
        if not entry.isreg() or entry.issparse():
            raise _refused(path, f"{brief(entry.name)} is not a plain file")
        if entry.size > MAX_FILE_BYTES or len(files) >= MAX_FILES:
            raise _refused(
                path, f"at {brief(entry.name)} it exceeds {MAX_FILE_BYTES >> 20} MiB a file or {MAX_FILES} files"
            )
        if entry.name in files:
            raise _refused(path, f"{brief(entry.name)} is in it twice")
        content = archive.extractfile(entry)
        assert content is not None  # it is a regular file
        files[entry.name] = content.read()
    return files


class _Limited:
    """Counts what is decompressed, headers included, so that no small file becomes a large one in memory."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, path: Path) -> None:
        self.file, self.path, self.left = file, path, MAX_TOTAL_BYTES

    def read(self, size: int) -> bytes:
        content = self.file.read(min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise _refused(self.path, f"it holds more than {MAX_TOTAL_BYTES >> 20} MiB")
        return content


def _refused(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not an archive that tools/report.sh --pack wrote ({reason}): have it packed again")
