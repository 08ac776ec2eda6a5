"""Reports and trials' files as they were written: what ``--verify`` compares with what follows from the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.outcomes.file import not_following, read_outcomes
from transfer.record import OUTCOMES_NAME
from transfer.report.compare.model import Report
from transfer.report.lay_out.strips import build_strips
from transfer.report.read.archive import is_archive, read_archive
from transfer.report.read.trials import FoundTrial, trial_name
from transfer.report.write.forms import REPORT_JSON, TEXTS, render_files
from transfer.report.write.pack import REPORT
from twist_common.errors import UserError
from twist_common.strict_json import read_bounded


@dataclass(frozen=True)
class WrittenReport:
    """A report on disk or in an archive.

    Attributes:
        where: names its ``report.json``.
        folder: where that is; the sources are relative to it.
        archive: whose records the report is of; None for a folder.
        read: a form's content by its name; None if there is no such file.
    """

    where: Path
    folder: Path
    archive: Path | None
    read: Callable[[str], bytes | None]


def open_report(path: Path) -> WrittenReport:
    """The report that a folder, an archive or a ``report.json`` holds.

    Raises:
        UserError: there is none.
    """
    if is_archive(path):
        files = read_archive(path)
        if f"{REPORT}/{REPORT_JSON}" not in files:
            raise UserError(f"{path} holds no {REPORT_JSON}: have it packed again with tools/report.sh --pack")
        return WrittenReport(path / REPORT / REPORT_JSON, path.parent, path, lambda name: files.get(f"{REPORT}/{name}"))
    stated = path / REPORT_JSON if path.is_dir() else path

    def read(name: str) -> bytes | None:
        file = stated if name == REPORT_JSON else stated.parent / name
        return read_bounded(file) if file.exists() else None

    return WrittenReport(stated, stated.parent, None, read)


def changed_forms(
    written: WrittenReport, report: Report, sources: Sequence[str], trials: Sequence[FoundTrial]
) -> list[str]:
    """A line for each form, pictures included, that is there and is not what the records give."""
    if not any(written.read(name) for name in TEXTS):  # the JSON alone, as it is published
        return []
    return [
        f"{name}: not what the records give (edited, or written by another version of this program)"
        for name, content in render_files(report, sources, build_strips(report, trials)).items()
        if name != REPORT_JSON and written.read(name) not in (None, content)
    ]


def missing_outcomes(trials: Sequence[FoundTrial]) -> list[str]:
    """The trials whose outcomes are not beside their record, so that no metric is held against them."""
    return [
        trial_name(trial.record)
        for trial in trials
        if OUTCOMES_NAME in trial.record.files and trial.read(OUTCOMES_NAME) is None
    ]


def changed_files(trials: Sequence[FoundTrial]) -> Iterator[str]:
    """A line for each file beside a record that is not the trial's, and each figure that outcomes contradict."""
    for trial in trials:
        for name, content, is_own in trial.files():
            if not is_own:
                yield f"{trial_name(trial.record)}: {name} is not the trial's"
            elif name == OUTCOMES_NAME:
                metrics = {metric: each.value for metric, each in trial.record.metrics.items()}
                contradictions = not_following(metrics, read_outcomes(content, f"{trial.where}, {name}"))
                yield from (f"{trial_name(trial.record)}: {line}" for line in contradictions)
