"""The table of methods with several pre-training runs."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.report.compare.method_differences import ONE_CHECKPOINT, MethodDifference, method_differences
from transfer.report.compare.model import BenchmarkKey, Report
from transfer.report.compare.runs import MethodSummary, methods
from transfer.report.compare.statistics import MIN_TRIALS
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import (
    Column,
    RowGroup,
    Table,
    TableRow,
    benchmark_label,
    main_metric_label,
    number_columns,
    text_columns,
)

DIFFERENCES = (
    "Differences of methods, main metric: means of runs as two independent samples (Welch's t), for new runs and "
    "seeds, and for new images where outcomes are known; from three runs of both on; Holm over all of a suite"
)
ONE_RUN = "one pre-training run of each: holds for these checkpoints only"


def methods_tables(report: Report) -> tuple[Table, ...]:
    """Methods with several runs, with what runs, seeds and images contribute, and the differences between them.

    None without several runs of one method; those of one run are named, and random weights are a run per seed.
    """
    columns = text_columns("Method")
    columns += number_columns("Runs (trials)", "Mean", "95 % interval", "Between runs", "Between seeds", "Images")
    found = methods(report)
    several = {each.method for each in found if each.interval or len(each.runs) > 1}
    caption = "Methods over their pre-training runs, main metric"
    if alone := dict.fromkeys(each.method for each in found if each.method not in several):
        caption += f". Of one run, so that their figures hold for these checkpoints only: {', '.join(alone)}"
    of_differences = text_columns("Method − other")
    of_differences += number_columns("Runs", "Difference, 95 % interval", "p, Holm")
    of_differences += text_columns("Verdict")
    summaries = [(each.key, _cells(each)) for each in found if each.method in several]
    compared = (each for each in method_differences(report) if each.verdict != ONE_CHECKPOINT)
    differences = [(each.key, _cells_of_difference(each)) for each in compared]
    tables = (
        _table(report, caption, columns, summaries),
        _table(report, DIFFERENCES, of_differences, differences),
    )
    return tuple(table for table in tables if table.groups)


def _table(
    report: Report, caption: str, columns: list[Column], found: Sequence[tuple[BenchmarkKey, tuple[str, ...]]]
) -> Table:
    groups = []
    for result in report.benchmarks:
        if rows := tuple(TableRow(cells) for key, cells in found if key == result.key):
            groups.append(RowGroup(f"{benchmark_label(report, result)}: {main_metric_label(result)}", rows))
    return Table(caption, tuple(columns), tuple(groups))


def _cells_of_difference(each: MethodDifference) -> tuple[str, ...]:
    figure = fmt.signed(each.difference)
    if each.over_runs:
        figure += f" {fmt.signed_interval(each.over_runs.interval)}"
    return (
        f"{each.method} − {each.other}",
        " and ".join(map(str, each.num_runs)),
        figure,
        fmt.p_value(each.p_holm),
        each.verdict,
    )


def _cells(summary: MethodSummary) -> tuple[str, ...]:
    runs = len(summary.runs)
    interval = f"n < {MIN_TRIALS}" if runs > 1 else ONE_CHECKPOINT
    if summary.interval:
        interval = f"[{fmt.number(summary.interval.low)}, {fmt.number(summary.interval.high)}]"
    return (
        summary.method,
        f"{runs} ({summary.num_trials})",
        fmt.number(summary.mean),
        interval,
        fmt.number(summary.components.between_runs),
        fmt.number(summary.components.between_seeds),
        fmt.number(summary.se_images),
    )
