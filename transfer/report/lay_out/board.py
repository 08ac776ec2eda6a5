"""A board: every row of weights of a folder of records, by benchmark, with links to what it is made of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from transfer.record import SEALED_IN_PART, TrialRecord
from transfer.report.compare.ledgers import check_ledgers
from transfer.report.compare.model import BenchmarkResult, ResultRow
from transfer.report.compare.results import build_report
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import main_metric_label
from transfer.report.read.board import BoardEntry, FoundBoard

MAX_LINES = 200  # on the page, of what was left out and of what ledgers say
MAX_DEVIATION = 160  # characters; the record says the rest


@dataclass(frozen=True)
class Link:
    """``href`` is relative to the page."""

    text: str
    href: str


@dataclass(frozen=True)
class BoardRow:
    """The trials of one initialisation that ran one procedure.

    Attributes:
        figure: the main metric's mean, spread and number of trials.
        standing: "on protocol" or "off protocol", as the page's filter names it; ``protocol`` says it in full.
        records: one for each trial.
    """

    label: str
    arch: str
    figure: str
    interval: str
    standing: str
    version: int
    protocol: str
    records: tuple[Link, ...]
    reports: tuple[Link, ...]


@dataclass(frozen=True)
class BoardGroup:
    """One benchmark of one suite, the best mean on protocol first."""

    name: str
    heading: str
    rows: tuple[BoardRow, ...]


@dataclass(frozen=True)
class Board:
    groups: tuple[BoardGroup, ...]
    num_records: int
    left_out: tuple[str, ...]
    ledger: tuple[str, ...]

    @property
    def rows(self) -> list[BoardRow]:
        return [row for group in self.groups for row in group.rows]

    @property
    def facts(self) -> tuple[str, ...]:
        rows, benchmarks = fmt.plural(len(self.rows), "row"), fmt.plural(len(self.groups), "benchmark")
        return rows, benchmarks, f"{fmt.plural(self.num_records, 'record')} with a seal that holds"

    @property
    def archs(self) -> list[str]:
        return sorted({row.arch for row in self.rows})

    @property
    def versions(self) -> list[int]:
        return sorted({row.version for row in self.rows})


def build_board(found: FoundBoard) -> Board:
    """Lays out what holds.

    Raises:
        UserError: a metric is better higher in some records of a benchmark, and lower in others.
    """
    records = [entry.record for entry in found.entries]
    results = build_report(records).benchmarks
    entries = {id(entry.record): entry for entry in found.entries}
    several = len({result.key.suite for result in results}) > 1
    groups = []
    for result in results:
        name = f"{result.key.suite}/{result.key.benchmark}" if several else result.key.benchmark
        title = "" if result.title in name else f": {result.title}"
        heading = f"{name}{title}, {main_metric_label(result)}"
        groups.append(BoardGroup(name, heading, tuple(_row(result, row, entries) for row in _ranked(result))))
    findings = check_ledgers(records, found.ledgers)
    return Board(
        tuple(groups), len(records), shortened(found.left_out), shortened([*findings.faults, *findings.chosen])
    )


def shortened(lines: Sequence[str]) -> tuple[str, ...]:
    more = [f"and {fmt.count(len(lines) - MAX_LINES)} more"] if len(lines) > MAX_LINES else []
    return (*lines[:MAX_LINES], *more)


def _ranked(result: BenchmarkResult) -> list[ResultRow]:
    def place(row: ResultRow) -> tuple[bool, bool, float]:
        main = row.metrics.get(result.main_metric)
        mean = main.mean if main else None
        return not row.procedure.on_protocol, mean is None, -result.sign(result.main_metric) * (mean or 0.0)

    return sorted(result.rows, key=place)


def _row(result: BenchmarkResult, row: ResultRow, entries: dict[int, BoardEntry]) -> BoardRow:
    main = row.metrics.get(result.main_metric)
    standing = "on protocol" if row.procedure.on_protocol else fmt.OFF_PROTOCOL
    version = row.procedure.protocol_version
    deviation = "; ".join(row.procedure.deviations)
    if len(deviation) > MAX_DEVIATION:
        deviation = f"{deviation[:MAX_DEVIATION]}…"
    in_part = sum(record.schema_version == SEALED_IN_PART for record in row.trials)
    sealed = f"; {fmt.plural(in_part, 'record')} sealed in part" if in_part else ""
    of_row = [entries[id(record)] for record in sorted(row.trials, key=lambda record: record.seed)]
    reports = dict.fromkeys(entry.report_file for entry in of_row if entry.report_file)
    return BoardRow(
        label=row.label,
        arch=row.arch,
        figure=fmt.summary(main, len(row.failed)),
        interval=fmt.interval(main, row.deterministic) if main else fmt.NOTHING,
        standing=standing,
        version=version,
        protocol=f"{standing}, version {version}{': ' if deviation else ''}{deviation}{sealed}",
        records=tuple(Link(_seed(entry.record), _href(entry.record_file)) for entry in of_row),
        reports=tuple(_report_links(reports)),
    )


def _seed(record: TrialRecord) -> str:
    return f"{record.seed} (failed)" if record.status == "failed" else f"{record.seed}"


def _report_links(files: Iterable[str]) -> Iterable[Link]:
    for number, file in enumerate(files, start=1):
        kind = "report" if file.endswith(".html") else "archive"
        yield Link(f"{kind} {number}" if number > 1 else kind, _href(file))


def _href(file: str) -> str:
    """A relative address, whatever characters the file's name holds, and never one with a scheme."""
    return f"./{quote(os.fsencode(file))}"
