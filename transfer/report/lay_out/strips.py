"""The pictures that the page shows: for every initialisation those of its first done trial, one row under the other."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from transfer.benchmarks import BENCHMARKS, CLUSTERING
from transfer.record import TrialRecord
from transfer.report.compare.results import BenchmarkResult, Report, Row
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import row_label
from transfer.report.read.trials import FoundTrial, TrialKey, trial_key
from transfer.task import task_of

MAX_PICTURE_BYTES = 1 << 20
MAX_PAGE_BYTES = 8 << 20  # of all pictures together: a page that is mailed and opened on a phone
MAX_OPEN_ROWS = 2  # more are folded
KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}  # by their first bytes
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

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
        return f"data:{_kind(self.content)};base64,{base64.b64encode(self.content).decode()}"


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
        note: stands in place of the rows where the page has no room for them.
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
            strip = replace(strip, rows=(), note=_no_room())
        room -= strip.num_bytes if strip else 0
        strips.append(strip)
    return tuple(strips)


def is_picture(name: str, content: bytes) -> bool:
    """Whether this is a PNG or JPEG file of bearable size, under a name that leads nowhere else."""
    return _is_picture_name(name) and len(content) <= MAX_PICTURE_BYTES and bool(_kind(content))


def read_beside(folder: Path, name: str) -> bytes | None:
    """A picture below the folder of a record; None if it is missing, no picture, or leads out of the folder."""
    if not _is_picture_name(name):
        return None
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(MAX_PICTURE_BYTES + 1)
    except (OSError, ValueError):  # not readable; a name that no file can have
        return None
    return content if is_picture(name, content) else None


def _strip(result: BenchmarkResult, trials: dict[TrialKey, FoundTrial]) -> Strip | None:
    benchmark = BENCHMARKS.get(result.key.benchmark)
    is_clustering = benchmark is not None and benchmark.task == CLUSTERING
    sides = task_of(benchmark).picture_sides if benchmark else OTHER_SIDES
    firsts = [(row, row.done[0]) for row in result.rows if row.done and row.done[0].pictures]
    captions = CLUSTERING_PICTURES if is_clustering else {}
    rows = [_row(row, record, trials.get(trial_key(record)), sides, captions) for row, record in firsts]
    if not rows:
        return None
    same = len({tuple(record.pictures) for _, record in firsts}) == 1
    images = "the same test images in the same order" if same else "test images, not the same for all"
    what = sides if is_clustering else f"{images}: {sides}"
    return Strip(f"First done trial of each initialisation, {what}.", tuple(rows), large=is_clustering)


def _row(row: Row, record: TrialRecord, trial: FoundTrial | None, sides: str, captions: Mapping[str, str]) -> StripRow:
    label = f"{row_label(row)}, seed {record.seed}"
    pictures = []
    for name in record.pictures:
        content = trial.read(name) if trial else None
        stem = PurePosixPath(name).stem
        alt = f"{label}, image {stem}: {sides}"
        caption = captions.get(stem, "")
        alt = f"{label}: {caption}" if caption else alt
        pictures.append(None if content is None else Picture(name=name, content=content, alt=alt, caption=caption))
    pictures.sort(key=_rank)
    lost = f"{pictures.count(None)} of {fmt.plural(len(pictures), 'picture')} missing beside the record, or unreadable"
    note = lost if None in pictures else ""
    return StripRow(label=label, record=record, pictures=tuple(pictures), note=note)


def _rank(picture: Picture | None) -> int:
    """Those of clustering in the page's order, all others as the record lists them."""
    names = list(CLUSTERING_PICTURES)
    stem = PurePosixPath(picture.name).stem if picture and picture.caption else ""
    return names.index(stem) if stem in names else len(names)


def _no_room() -> str:
    return (
        f"The pictures are left out, as the page would hold more than {MAX_PAGE_BYTES >> 20} MiB of them: they are in "
        "the folders of the trials."
    )


def _is_picture_name(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.is_absolute() and ".." not in path.parts


def _kind(content: bytes) -> str:
    """Media type by the first bytes; empty for anything else."""
    return next((kind for magic, kind in KINDS.items() if content.startswith(magic)), "")
