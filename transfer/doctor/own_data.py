"""A user's own data: which files they are, what follows from them, and a hash of their content. Imports no framework.

The rows of :mod:`transfer.datasets` say of own data only what form they have. :func:`completed` finds the files below
the folder that the user names, and returns the row with classes, counts and hash: everything else reads the row.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from transfer.doctor.own_masks import find_masks
from transfer.doctor.stamp import remembered
from transfer.layouts import CocoBoxes, OwnMasks
from transfer.rows import DatasetRow, DenseDataset, LabelledDataset
from transfer.tasks.classification.datasets import list_split
from transfer.tasks.classification.datasets.home import DataFileError
from transfer.tasks.detection.own_coco import find_coco
from transfer.tasks.detection.own_voc import find_voc
from transfer.tasks.own_files import NOT_NAMED, FoundData, NamedFiles
from twist_common.errors import UserError
from twist_common.files import sha256_file, sha256_text


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
    is_masks = isinstance(row.layouts[0], OwnMasks)
    if not is_masks and (named.classes or named.ignored is not None):
        raise UserError(f"--classes-file and --ignore-value are for own masks: leave them out with {row.name}")
    find = find_masks if is_masks else find_coco if isinstance(row.layouts[0], CocoBoxes) else find_voc
    found: FoundData = find(root, named)
    # the layout too: the same files may be named the other way round, or the same masks have other classes
    content = sha256_text(f"{content_sha256(found.files, root)}\n{found.layout}")
    return dataclasses.replace(row, layouts=(found.layout,), content=content, remarks=found.remarks)


def content_sha256(files: Iterable[Path], root: Path) -> str:
    """Hash of names below ``root`` and bytes of files, which are not read again while sizes and times stay the same."""
    paths = sorted(set(files))

    def compute() -> str:
        digest = hashlib.sha256()
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:  # hashing releases Python's lock
            for path, sha256 in zip(paths, threads.map(_sha256, paths), strict=True):
                digest.update(f"{os.path.relpath(path, root)}\0{sha256}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    return remembered("content", paths, compute)


def _sha256(path: Path) -> str:
    return sha256_file(path) if path.is_file() else "missing"
