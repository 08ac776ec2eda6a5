"""Weights × benchmarks, sorted, with what leads and what may be as good; and their ranking over all benchmarks."""

from __future__ import annotations

import math

from transfer.report.compare.model import BenchmarkResult, Report
from transfer.report.compare.ranking import Ranking, Standing, rankings, standings, suite_results
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import (
    Column,
    RowGroup,
    Table,
    TableRow,
    card_anchor,
    main_metric_label,
    number_columns,
    plain_table,
    row_kind,
    row_label,
    text_columns,
)

MAX_BENCHMARKS = 12  # side by side
BEST, AS_GOOD = "*", "≈"
READING = (
    f"main metrics on protocol, by average rank. {BEST} (bold): shown to be better than every other; {AS_GOOD}: leads, "
    "or is not shown to be worse than what leads; (n of m): the others failed; (n): too few trials for a claim"
)


def matrices(report: Report) -> tuple[Table, ...]:
    """One for each suite with a figure on protocol; of many benchmarks several, one below the other."""
    found = []
    for suite in report.suites:
        results = [result for result in suite_results(report, suite) if result.on_protocol]
        if rows := standings(report, suite):
            size = math.ceil(len(results) / math.ceil(len(results) / MAX_BENCHMARKS))  # parts of about one width
            parts = range(0, len(results), size)
            found += [_matrix(report, suite, results[start : start + size], rows) for start in parts]
    return tuple(found)


def _matrix(report: Report, suite: str, results: list[BenchmarkResult], rows: list[Standing]) -> Table:
    columns = [*text_columns("Weights"), Column("Average rank")]
    columns += [Column(f"{each.key.benchmark}, {main_metric_label(each)}") for each in results]
    shown = []
    for standing in rows:
        cells, cards, best = [standing.label, fmt.number(standing.average_rank, digits=1)], ["", ""], set()
        for result in results:
            row = standing.rows.get(result.key.benchmark)
            if result.best == standing.label:
                best.add(len(cells))
            cells.append(_figure(result, standing))
            cards.append(card_anchor(result, row) if row else "")
        kind = row_kind(next(iter(standing.rows.values())))
        shown.append(TableRow(tuple(cells), kind, frozenset(best), cell_cards=tuple(cards)))
    leads = tuple(_lead(result) for result in results)
    groups = [RowGroup(None, tuple(shown))]
    if any(lead != fmt.NOTHING for lead in leads):
        groups.append(RowGroup(None, (TableRow(("Lead over the runner-up", "", *leads), "floor"),)))
    where = f"{suite}: " if len(report.suites) > 1 else ""
    return Table(f"{where}Weights × benchmarks, {READING}", tuple(columns), tuple(groups))


def ranking_tables(report: Report) -> tuple[Table, ...]:
    """One for each suite whose weights can be ranked over several benchmarks."""
    return tuple(_ranking_table(report, each) for each in rankings(report))


def _ranking_table(report: Report, ranking: Ranking) -> Table:
    columns = [*text_columns("Weights"), *number_columns("Average rank", "Behind the first", "P(better than the next)")]
    columns += number_columns("Interquartile mean, 95 % interval")
    first = ranking.lines[0].standing.average_rank
    rows = []
    for line in ranking.lines:
        standing = line.standing
        behind = f"{fmt.number(standing.average_rank - first)}{', shown' if not line.is_near_first else ''}"
        iqm = fmt.number(line.iqm)
        if bounds := line.iqm_interval:
            iqm += f" [{fmt.number(bounds.low)}, {fmt.number(bounds.high)}]"
        label = row_label(*standing.rows.values())
        rows.append((label, fmt.number(standing.average_rank), behind, fmt.number(line.improvement), iqm))
    where = f"{ranking.suite}: " if len(report.suites) > 1 else ""
    caption = (
        f"{where}Ranking of the weights that were measured on all {len(ranking.benchmarks)} benchmarks. Critical "
        f"difference of average ranks (Nemenyi, 5 % over all pairs): {fmt.number(ranking.critical_difference)}; what "
        "is farther behind is shown to be. Interquartile mean over benchmarks and trials, its interval by a bootstrap "
        "stratified by benchmark: for these benchmarks, not for others"
    )
    return plain_table(caption, columns, rows)


def _figure(result: BenchmarkResult, standing: Standing) -> str:
    """E.g. ``"≈ 61.17 (3 of 4)"``."""
    row = standing.rows.get(result.key.benchmark)
    if row is None:
        return fmt.NOTHING
    figures, leader = row.metrics[result.main_metric], result.leader
    text = fmt.number(figures.mean)
    if row.failed:
        text += f" ({len(row.done)} of {len(row.trials)})"
    elif len(row.done) < fmt.MIN_TRIALS:
        text += f" ({len(row.done)})"
    if leader and standing.label in (leader.label, *leader.undecided):
        return f"{BEST if leader.is_best else AS_GOOD} {text}"
    return text


def _lead(result: BenchmarkResult) -> str:
    """What the leader is ahead by, positive also where lower is better; a row with failures may be ahead of it."""
    if result.leader is None or result.leader.lead.summary.mean is None:
        return fmt.NOTHING
    lead = result.sign(result.main_metric) * result.leader.lead.summary.mean
    return fmt.signed(lead) if lead >= 0 else fmt.NOTHING
