"""The table of methods with several pre-training runs."""

from __future__ import annotations

from transfer.report.compare.model import Report
from transfer.report.compare.runs import MethodSummary, methods
from transfer.report.compare.statistics import MIN_TRIALS
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import (
    RowGroup,
    Table,
    TableRow,
    benchmark_label,
    main_metric_label,
    number_columns,
    text_columns,
)

ONE_RUN = "one pre-training run of each: holds for these checkpoints only"


def methods_table(report: Report) -> Table | None:
    """Every method on every benchmark, with what runs, seeds and images contribute; None without several runs."""
    found = methods(report)
    if not found:
        return None
    groups = []
    for result in report.benchmarks:
        rows = tuple(TableRow(_cells(each)) for each in found if each.key == result.key)
        groups.append(RowGroup(f"{benchmark_label(report, result)}: {main_metric_label(result)}", rows))
    columns = text_columns("Method")
    columns += number_columns("Runs (trials)", "Mean", "95 % interval", "Between runs", "Between seeds", "Images")
    return Table("Methods over their pre-training runs, main metric", tuple(columns), tuple(groups))


def _cells(summary: MethodSummary) -> tuple[str, ...]:
    runs = len(summary.runs)
    interval = f"n < {MIN_TRIALS}" if runs > 1 else "holds for this checkpoint only"
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
