"""Records and their report in one file, to hand on: ``tools/report.sh --pack``, and reading such files back.

An archive is read without unpacking: nothing that it holds is ever written to disk, and only regular files that its
manifest lists, with the hash that the manifest gives, are looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from common.errors import UserError
from common.files import atomic_path
from transfer.record import RECORD_NAME, TrialRecord
from transfer.report.lay_out.strips import StripRow, is_picture
from transfer.report.read.evidence import holds_evidence
from transfer.report.read.trials import FoundTrial

FORMAT = "twist-transfer-archive"
VERSION = 1
MANIFEST = "manifest.json"
RECORDS = "records"
REPORT = "report"
SUFFIXES = (".tar.gz", ".tgz")

# A thousand trials with pictures stay far below; a compressed bomb does not.
MAX_FILES = 100_000
MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 1 << 30


def is_archive(path: Path) -> bool:
    """By its name; whether there is such a file, reading tells."""
    return path.name.endswith(SUFFIXES) and not path.is_dir()


def record_name(record: TrialRecord) -> str:
    """Where a record stands in an archive: as below ``runs/``."""
    parts = [record.suite, record.benchmark, f"{record.weights.name}-{record.weights.sha256[:8]}"]
    safe = [re.sub(r"[^\w.=+-]", "_", part) for part in parts]
    if any(set(part) <= {"."} for part in safe):
        raise UserError(f"{'/'.join(parts)} cannot be the name of a folder: run the trial under another suite or name")
    return "/".join([RECORDS, *safe, f"trial-{record.seed}", RECORD_NAME])


def pack(
    path: Path,
    records: Sequence[TrialRecord],
    report: Mapping[str, bytes],
    shown: Sequence[StripRow] = (),
    evidence: Mapping[str, bytes] | None = None,
) -> None:
    """Writes the archive; the same content gives the same bytes.

    Args:
        path: ends in ``.tar.gz`` or ``.tgz``.
        report: file name to content of the report's forms, which go below ``report/``.
        shown: the trials whose pictures the report shows; they go beside their records.
        evidence: path to content of what else stands below the folder of the records.

    Raises:
        UserError: the name has another ending, or two trials would have one place.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path} does not end in .tar.gz: name the archive so that reports know it for one")
    files = {f"{REPORT}/{name}": content for name, content in report.items()}
    for record in records:
        name = record_name(record)
        if name in files:
            raise UserError(f"two trials would stand at {name}: rename the weights of one (--name) and run it again")
        files[name] = record.to_text().encode()
    files |= {f"{RECORDS}/{name}": content for name, content in (evidence or {}).items()}
    for row in shown:
        folder = PurePosixPath(record_name(row.record)).parent
        files |= {(folder / picture.name).as_posix(): picture.content for picture in row.pictures if picture}
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST, _manifest(files))
        for name in sorted(files):
            _add(archive, name, files[name])


def _manifest(files: Mapping[str, bytes]) -> bytes:
    listed = {name: {"sha256": _sha256(files[name]), "bytes": len(files[name])} for name in sorted(files)}
    return (json.dumps({"format": FORMAT, "version": VERSION, "files": listed}, indent=1) + "\n").encode()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(content))


def read_trials(path: Path) -> Iterator[FoundTrial]:
    """Each record of an archive, with where it stands and its pictures.

    Raises:
        UserError: no such file; not one of these archives; a name that leads out of it, a link or a device; more
            than the limits; a file that is not what the manifest says, or is missing; neither a record nor evidence.
    """
    files = read_archive(path)
    names = [name for name in sorted(files) if PurePosixPath(name).name == RECORD_NAME]
    if not names and not holds_evidence(path):
        raise UserError(f"there is no {RECORD_NAME} in {path}: pack the folder of the runs again")
    for name in names:
        where = f"{path}:{name}"
        yield FoundTrial(where, TrialRecord.from_bytes(files[name], where), partial(_picture_beside, files, name))


def _picture_beside(files: Mapping[str, bytes], record: str, name: str) -> bytes | None:
    content = files.get((PurePosixPath(record).parent / name).as_posix(), b"")
    return content if is_picture(name, content) else None


def read_archive(path: Path) -> dict[str, bytes]:
    """Name to content of every file that the manifest lists. Raises as :func:`read_trials`."""
    try:
        with gzip.open(path, "rb") as unpacked:
            limited: Any = _Limited(unpacked, path)
            with tarfile.open(fileobj=limited, mode="r|") as archive:
                files = _members(archive, path)
        return _as_listed(files, path)
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"cannot read {path} as an archive of records ({error}): get it again") from None


def _members(archive: tarfile.TarFile, path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in archive:
        if PurePosixPath(entry.name).is_absolute() or ".." in PurePosixPath(entry.name).parts:
            raise _refused(path, f"{entry.name!r} leads out of it")
        if not entry.isreg():
            raise _refused(path, f"{entry.name!r} is not a plain file")
        if entry.size > MAX_FILE_BYTES or len(files) >= MAX_FILES:
            raise _refused(path, f"at {entry.name!r} it is over {MAX_FILE_BYTES >> 20} MiB a file or {MAX_FILES} files")
        if entry.name in files:
            raise _refused(path, f"{entry.name!r} is in it twice")
        content = archive.extractfile(entry)
        assert content is not None  # of a plain file there is
        files[entry.name] = content.read()
    return files


def _as_listed(files: dict[str, bytes], path: Path) -> dict[str, bytes]:
    """The files without the manifest, each found to be what the manifest says."""
    if MANIFEST not in files:
        raise _refused(path, f"it has no {MANIFEST}")
    manifest = json.loads(files.pop(MANIFEST))
    if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
        raise _refused(path, f"it is {manifest['format']} version {manifest['version']}, not {FORMAT} {VERSION}")
    listed = manifest["files"]
    if lost := sorted(listed.keys() ^ files.keys()):
        raise _refused(path, f"{lost[0]!r} is in the manifest or in the archive, not in both")
    if changed := [name for name in sorted(files) if _sha256(files[name]) != listed[name]["sha256"]]:
        raise _refused(path, f"{changed[0]!r} is not what the manifest says")
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


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
