"""Checks a data set, and does not read it again for as long as its files stay as they are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transfer.doctor import boxes, classification, depths, masks, stamp
from transfer.doctor.findings import MISSING, UNREADABLE_ANNOTATION, WRONG_COUNT, Findings
from transfer.layouts import AdeMasks, CityscapesMasks, CocoBoxes, DepthLists, Layout, OwnMasks, VocBoxes, VocMasks
from transfer.rows import DatasetRow, DenseDataset, LabelledDataset
from transfer.trial import silent
from twist_common.errors import UserError
from twist_common.files import sha256_text
from twist_common.progress import Progress

COMMAND = "tools/check_data.sh"

# layout to what checks it: (layout, findings, progress)
CHECKS: dict[type, Callable[[Any, Findings, Progress], None]] = {
    VocBoxes: boxes.check_voc,
    CocoBoxes: boxes.check_coco,
    VocMasks: masks.check_voc,
    CityscapesMasks: masks.check_cityscapes,
    AdeMasks: masks.check_ade20k,
    OwnMasks: masks.check_own,
    DepthLists: depths.check_lists,
}


def check_dataset(row: DatasetRow, data_root: Path, *, counts: bool = True, progress: Progress = silent) -> None:
    """Refuses to start on data that are incomplete or damaged.

    Args:
        data_root: the data set's folder; exists.
        counts: also refuse another number of images than the protocol's; False where the user allowed it.

    Raises:
        UserError: the first kind of problem, how many others there are, and how to see them all.
    """
    root = data_root.resolve()
    sentences = examine_if_changed(row, root, progress).sentences(but=() if counts else (WRONG_COUNT,))
    if sentences:
        more = f" ({len(sentences) - 1} more kinds of problems)" if len(sentences) > 1 else ""
        how = f"{COMMAND} {row.name} --data {root} lists everything and what to fetch"
        raise UserError(f"{row.name} in {root}: {sentences[0]}{more}; {how}")


def examine_if_changed(row: DatasetRow, root: Path, progress: Progress, *, again: bool = False) -> Findings:
    """Everything that is wrong with a data set below its folder ``root``.

    The first time reads every file; after data were found to be in order, for as long as paths, sizes and times stay
    the same, the listing is enough.

    Args:
        progress: called with (things done, things in all, what is being done).
        again: read every file in any case.
    """
    seen = stamp.fingerprint(root, row.parts)
    if row.is_own:  # the user may name other files of the same folder
        seen = sha256_text(f"{seen}{row}")
    if not again and stamp.is_known(row.name, root, seen):
        return Findings(root)
    findings = examine(row, root, progress)
    if not findings.kinds():
        stamp.remember(row.name, root, seen)
    return findings


def examine(row: DatasetRow, root: Path, progress: Progress = silent) -> Findings:
    """Everything that is wrong with a data set below its folder ``root``; reads every file."""
    findings = Findings(root, is_own=row.is_own)
    for remark in row.remarks:
        findings.note("what figures on these data mean", remark)
    if isinstance(row, LabelledDataset):
        classification.check(row, findings, progress)
    elif isinstance(row, DenseDataset):
        for layout in row.layouts:
            if with_counts := _with_counts(layout, findings):
                CHECKS[type(layout)](with_counts, findings, progress)
    return findings


def _with_counts(layout: Layout, findings: Findings) -> Layout | None:
    """The layout with the numbers of images that embedded data note in their manifest; None if it has none."""
    if layout.manifest is None:
        return layout
    path = findings.root / "manifest.json"
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))["counts"]
        num_train, num_test = (counts[name] for name in layout.manifest)
        return dataclasses.replace(layout, num_train=num_train, num_test=num_test)
    except FileNotFoundError:
        findings.add(MISSING, path)
    except (ValueError, KeyError, TypeError):
        findings.add(UNREADABLE_ANNOTATION, path)
    return None
