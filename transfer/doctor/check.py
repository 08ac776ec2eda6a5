"""Checks a data set, once for as long as its files stay as they are."""

from __future__ import annotations

from pathlib import Path

from common.errors import UserError
from transfer.benchmarks import Benchmark
from transfer.doctor import stamp
from transfer.doctor.datasets import DATASETS, name_of
from transfer.doctor.files import Progress
from transfer.doctor.findings import WRONG_COUNT, Findings

COMMAND = "tools/check_data.sh"


def no_progress(done: int, total: int, what: str) -> None:
    """For those who do not want to see it."""


def check_before_trials(
    benchmark: Benchmark, data_root: Path, *, counts: bool = True, progress: Progress = no_progress
) -> None:
    """Refuses to start on data that are incomplete or damaged.

    The first time reads every file; after that, for as long as paths, sizes and times stay the same, the listing is
    enough. Data sets that the doctor does not know are left to their task.

    Args:
        data_root: the data set's folder; exists.
        counts: also refuse another number of images than the protocol's; False where the user allowed it.
        progress: called with (things done, things in all, what is being done).

    Raises:
        UserError: the first kind of problem, how many others there are, and how to see them all.
    """
    name = name_of(benchmark)
    if name is None:
        return
    root = data_root.resolve()
    seen = stamp.fingerprint(root, DATASETS[name].parts)
    if stamp.is_known(name, root, seen):
        return
    findings = examine(name, root, progress)
    if not findings.kinds():
        stamp.remember(name, root, seen)
    sentences = findings.sentences(but=() if counts else (WRONG_COUNT,))
    if not sentences:
        return
    first, *others = sentences
    more = f" ({len(others)} more kinds of problems)" if others else ""
    raise UserError(f"{name} in {root}: {first}{more}; {COMMAND} {name} --data {root} says all and what to fetch")


def examine(name: str, root: Path, progress: Progress = no_progress) -> Findings:
    """Everything that is wrong with a data set; reads every file.

    Args:
        name: in :data:`~transfer.doctor.datasets.DATASETS`.
        root: its folder.
    """
    findings = Findings()
    DATASETS[name].check(root, findings, progress)
    return findings
