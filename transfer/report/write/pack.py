"""Records and their report in one file, to hand on: ``tools/report.sh --pack``."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from transfer.record import OUTCOMES_NAME, RECORD_NAME, TrialRecord
from transfer.report.lay_out.strips import StripRow
from transfer.report.read.archive import FORMAT, MANIFEST, SUFFIXES, VERSION
from transfer.report.read.trials import FoundTrial
from twist_common.errors import UserError
from twist_common.files import atomic_path, sha256_bytes

RECORDS = "records"
REPORT = "report"


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
        evidence: path to content of what else goes below the folder of the records.

    Raises:
        UserError: the name has another ending, or two trials would have the same place.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path} does not end in .tar.gz: name the archive so that reports recognise it as one")
    files = {f"{REPORT}/{name}": content for name, content in report.items()}
    for record in records:
        name = record_name(record)
        if name in files:
            raise UserError(f"two trials would be at {name}: rename the weights of one (--name) and run it again")
        files[name] = record.to_text().encode()
    files |= {f"{RECORDS}/{name}": content for name, content in (evidence or {}).items()}
    for row in shown:
        folder = PurePosixPath(record_name(row.record)).parent
        files |= {(folder / picture.name).as_posix(): picture.content for picture in row.pictures if picture}
    listed = {name: {"sha256": sha256_bytes(files[name]), "bytes": len(files[name])} for name in sorted(files)}
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "files": listed}, indent=1) + "\n"
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in [(MANIFEST, manifest.encode()), *sorted(files.items())]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))


def outcome_files(trials: Sequence[FoundTrial]) -> dict[str, bytes]:
    """The outcomes of the test images, by their paths below the folder of the records."""
    found = {}
    for trial in trials:
        if OUTCOMES_NAME in trial.record.files and (content := trial.read(OUTCOMES_NAME)):
            folder = PurePosixPath(record_name(trial.record)).parent.relative_to(RECORDS)
            found[(folder / OUTCOMES_NAME).as_posix()] = content
    return found


def record_name(record: TrialRecord) -> str:
    """Where a record is in an archive: as below ``runs/``."""
    parts = [record.suite, record.benchmark, record.weights.folder]
    safe = [re.sub(r"[^\w.=+@-]", "_", part) for part in parts]
    if any(set(part) <= {"."} for part in safe):
        raise UserError(f"{'/'.join(parts)} cannot be the name of a folder: run the trial under another suite or name")
    return "/".join([RECORDS, *safe, f"trial-{record.seed}", RECORD_NAME])
