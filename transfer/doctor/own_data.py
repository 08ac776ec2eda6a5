"""A user's own data: which files they are, what follows from them, and a hash of their content. Imports no framework.

The rows of :mod:`transfer.datasets` say of own data only what form they have. :func:`completed` finds the files below
the folder that the user names, and returns the row with classes, counts and hash: everything else reads the row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from transfer.doctor.stamp import user_cache
from transfer.rows import CocoBoxes, DatasetRow, DenseDataset, LabelledDataset
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.classification.datasets.home import DataFileError
from transfer.tasks.detection.own_coco import find_coco
from transfer.tasks.detection.own_voc import find_voc
from transfer.tasks.own_files import NOT_NAMED, FoundData, NamedFiles
from twist_common.errors import UserError
from twist_common.files import sha256_file, sha256_text, write_text


def completed(row: DatasetRow, root: Path, named: NamedFiles = NOT_NAMED) -> DatasetRow:
    """The row of own data with what the files below ``root`` say; other rows as they are.

    Raises:
        UserError: the files are not found, can be told apart in several ways, cannot be read, or do not agree.
    """
    if not row.is_own:
        if named != NOT_NAMED:
            raise UserError(f"--train-file and the like are for own data: leave them out with {row.name}")
        return row
    if isinstance(row, LabelledDataset):
        try:
            splits = [list_split(row, root, split) for split in row.splits]
        except DataFileError:
            return row  # the check of the data says all that is wrong
        files = [each.root / name for each in splits if each.root for name in each.names]
        return dataclasses.replace(row, content=content_sha256(files, root))
    assert isinstance(row, DenseDataset)
    find = find_coco if isinstance(row.layouts[0], CocoBoxes) else find_voc
    found: FoundData = find(root, named)
    content = content_sha256(found.files, root)
    return dataclasses.replace(row, layouts=(found.layout,), content=content, remarks=found.remarks)


def content_sha256(files: Iterable[Path], root: Path) -> str:
    """Hash of names below ``root`` and bytes of files, which are not read again while sizes and times stay the same."""
    paths = sorted(set(files))
    state = sha256_text("\n".join(_state(path) for path in paths))
    cache = user_cache("content") / state
    if cache.is_file():
        return cache.read_text(encoding="utf-8")
    digest = hashlib.sha256()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:  # hashing releases Python's lock
        for path, sha256 in zip(paths, threads.map(_sha256, paths), strict=True):
            digest.update(f"{os.path.relpath(path, root)}\0{sha256}\n".encode("utf-8", "surrogateescape"))
    with contextlib.suppress(UserError, OSError):  # a cache that cannot be written to: hashed again next time
        write_text(cache, digest.hexdigest())
    return digest.hexdigest()


def _state(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{path}\0missing"
    # the time of change (ctime) cannot be set back, as that of modification can
    return f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\0{status.st_ino}"


def _sha256(path: Path) -> str:
    return sha256_file(path) if path.is_file() else "missing"
