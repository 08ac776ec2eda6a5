"""The pictures that the page shows: for every initialisation those of its first done trial, one row under the other."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from transfer.benchmarks import BENCHMARKS, CLUSTERING
from transfer.record import TrialRecord
from transfer.report.compare.model import BenchmarkResult, Report
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import row_label
from transfer.report.read.trials import FoundTrial, TrialKey, media_type, trial_key
from transfer.task import task_of

MAX_PAGE_BYTES = 8 << 20  # of all pictures together: the page is mailed and opened on phones
MAX_OPEN_ROWS = 2  # more are folded
NO_ROOM = (
    f"The pictures are left out, as the page would hold more than {MAX_PAGE_BYTES >> 20} MiB of them: they are in the "
    "folders of the trials."
)

OTHER_SIDES = "truth left, prediction right"
# What the pictures of a clustering trial are, by their files' names without suffix, in the order of the page.
CLUSTERING_PICTURES = {
    "top3": "Test images with their three most likely classes: the names that their clusters stand for",
    "confusion": "Confusion matrix: classes down, clusters across, in the order in which they are matched",
    "usage": "Use of the clusters: how many images are in each",
}


@dataclass(frozen=True)
class Picture:
    """``name``: path relative to the record's folder; ``content``: a PNG or JPEG file."""

    name: str
    content: bytes
    alt: str
    caption: str = ""

    @property
    def uri(self) -> str:
        """The picture itself as an address, so that the page needs no other file."""
        return f"data:{media_type(self.content)};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class StripRow:
    """The pictures of one trial.

    Attributes:
        label: initialisation and seed.
        pictures: as the record lists them; None where there is none to show.
        note: says so; empty where all are there.
    """

    label: str
    record: TrialRecord
    pictures: tuple[Picture | None, ...]
    note: str

    @property
    def num_shown(self) -> int:
        return sum(picture is not None for picture in self.pictures)


@dataclass(frozen=True)
class Strip:
    """The pictures of one benchmark.

    Attributes:
        note: takes the place of the rows where the page has no room for them.
        large: plots with small print, each with a caption: they need room.
    """

    caption: str
    rows: tuple[StripRow, ...]
    note: str = ""
    large: bool = False

    @property
    def folded(self) -> bool:
        return len(self.rows) > MAX_OPEN_ROWS

    @property
    def num_bytes(self) -> int:
        return sum(len(picture.content) for row in self.rows for picture in row.pictures if picture)


def build_strips(report: Report, found: Sequence[FoundTrial]) -> tuple[Strip | None, ...]:
    """One strip per benchmark, in their order; None where no trial has drawn any.

    Args:
        found: where the report's records are, with the files beside them.
    """
    trials = {trial_key(trial.record): trial for trial in found}
    room = MAX_PAGE_BYTES
    strips: list[Strip | None] = []
    for result in report.benchmarks:
        strip = _strip(result, trials)
        if strip and strip.num_bytes > room:
            strip = replace(strip, rows=(), note=NO_ROOM)
        room -= strip.num_bytes if strip else 0
        strips.append(strip)
    return tuple(strips)


def _strip(result: BenchmarkResult, trials: dict[TrialKey, FoundTrial]) -> Strip | None:
    benchmark = BENCHMARKS.get(result.key.benchmark)
    sides = task_of(benchmark).picture_sides if benchmark else OTHER_SIDES
    is_clustering = benchmark is not None and benchmark.task == CLUSTERING
    captions = CLUSTERING_PICTURES if is_clustering else {}
    order = list(captions.values())  # others as the record lists them
    firsts = [(row, row.done[0]) for row in result.rows if row.done and row.done[0].pictures]
    rows = []
    for row, record in firsts:
        label, trial = f"{row_label(row)}, seed {record.seed}", trials[trial_key(record)]
        pictures = []
        for name in record.pictures:
            content, stem = trial.picture(name), PurePosixPath(name).stem
            caption = captions.get(stem, "")
            alt = f"{label}: {caption}" if caption else f"{label}, image {stem}: {sides}"
            pictures.append(None if content is None else Picture(name, content, alt, caption))
        pictures.sort(key=lambda each: order.index(each.caption) if each and each.caption else len(order))
        lost = pictures.count(None)
        note = f"{lost} of {fmt.plural(len(pictures), 'picture')} missing beside the record, or unreadable"
        rows.append(StripRow(label, record, tuple(pictures), note if lost else ""))
    if not rows:
        return None
    same = len({tuple(record.pictures) for _, record in firsts}) == 1
    images = "the same test images in the same order" if same else "test images, not the same for all"
    what = sides if is_clustering else f"{images}: {sides}"
    return Strip(f"First done trial of each initialisation, {what}.", tuple(rows), large=is_clustering)
