"""Checks a data set, once for as long as its files stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import UserError
from transfer.doctor import boxes, classification, masks, stamp
from transfer.doctor.files import Progress
from transfer.doctor.findings import MISSING, UNREADABLE_ANNOTATION, WRONG_COUNT, Findings
from transfer.rows import CityscapesMasks, CocoBoxes, DatasetRow, DenseDataset, LabelledDataset, VocBoxes, VocMasks

COMMAND = "tools/check_data.sh"

# layout to what checks it: (root, layout, images for training and for the test, findings, progress)
CHECKS: dict[type, Callable[[Path, Any, tuple[int, int], Findings, Progress], None]] = {
    VocBoxes: boxes.check_voc,
    CocoBoxes: boxes.check_coco,
    VocMasks: masks.check_voc,
    CityscapesMasks: masks.check_cityscapes,
}


def no_progress(done: int, total: int, what: str) -> None:
    """For those who do not want to see it."""


def check_before_trials(
    row: DatasetRow, data_root: Path, *, counts: bool = True, progress: Progress = no_progress
) -> None:
    """Refuses to start on data that are incomplete or damaged.

    The first time reads every file; after that, for as long as paths, sizes and times stay the same, the listing is
    enough.

    Args:
        data_root: the data set's folder; exists.
        counts: also refuse another number of images than the protocol's; False where the user allowed it.
        progress: called with (things done, things in all, what is being done).

    Raises:
        UserError: the first kind of problem, how many others there are, and how to see them all.
    """
    root = data_root.resolve()
    seen = stamp.fingerprint(root, row.parts)
    if stamp.is_known(row.name, root, seen):
        return
    findings = examine(row, root, progress)
    if not findings.kinds():
        stamp.remember(row.name, root, seen)
    sentences = findings.sentences(but=() if counts else (WRONG_COUNT,))
    if not sentences:
        return
    first, *others = sentences
    more = f" ({len(others)} more kinds of problems)" if others else ""
    raise UserError(
        f"{row.name} in {root}: {first}{more}; {COMMAND} {row.name} --data {root} lists everything and what to fetch"
    )


def examine(row: DatasetRow, root: Path, progress: Progress = no_progress) -> Findings:
    """Everything that is wrong with a data set below its folder ``root``; reads every file."""
    findings = Findings()
    if isinstance(row, LabelledDataset):
        classification.check(row, root, findings, progress)
    elif isinstance(row, DenseDataset):
        counts = _counts_in_manifest(row, root, findings)
        if counts is None:
            return findings
        for layout in row.layouts:
            wanted = (layout.num_train, layout.num_test)
            if layout.manifest is not None:
                wanted = (counts[layout.manifest[0]], counts[layout.manifest[1]])
            CHECKS[type(layout)](root, layout, wanted, findings, progress)
    return findings


def _counts_in_manifest(row: DenseDataset, root: Path, findings: Findings) -> dict[str, int] | None:
    """The numbers that embedded data note in ``manifest.json``; None if it is missing or cannot be read."""
    names = [name for layout in row.layouts for name in layout.manifest or ()]
    manifest = root / "manifest.json"
    if names and not manifest.is_file():
        findings.add(MISSING, manifest.name)
        return None
    try:
        counts = json.loads(manifest.read_text(encoding="utf-8"))["counts"] if names else {}
        return {name: counts[name] for name in names}
    except (ValueError, KeyError, TypeError):
        findings.add(UNREADABLE_ANNOTATION, manifest.name)
        return None
