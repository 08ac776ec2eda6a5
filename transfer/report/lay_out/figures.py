"""What the report's plots show: every trial of each benchmark, and the differences to the baseline over all."""

from __future__ import annotations

from transfer.report.compare.results import BenchmarkResult, Report, Row
from transfer.report.draw.marks import BASELINE_COLOUR, PALETTE, Mark, Plot, draw
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import benchmark_label, main_metric_label, main_summary, row_label


def trial_plots(report: Report) -> list[Plot | None]:
    """One plot per benchmark, in their order; None where no trial is done."""
    colours = weights_colours(report)
    return [_trial_plot(report, result, colours) for result in report.benchmarks]


def overview_plot(report: Report) -> Plot | None:
    """Forest plot: paired differences of the main metrics to the baseline, all benchmarks; None without any."""
    colours = weights_colours(report)
    marks = [
        _difference_mark(row, result, colours[row.label], benchmark_label(report, result))
        for result in report.benchmarks
        for row in result.rows
        if _is_compared(row, result)
    ]
    if not marks:
        return None
    baselines = sorted({row.baseline for row in report.rows if row.baseline})
    unit = f"difference to {' or '.join(baselines)} (percentage points)"
    alt = f"Paired {unit}, with 95 % intervals: " + "; ".join(
        f"{mark.heading}, {mark.label}: {mark.figures}" for mark in marks
    )
    return draw("overview", alt, marks, unit, zero=True)


def weights_colours(report: Report) -> dict[str, str]:
    """One colour per weights in all plots, grey for the baseline; direct labels tell them apart anyway."""
    baselines = {row.label for row in report.rows if row.is_baseline}
    others = sorted({row.label for row in report.rows} - baselines)
    colours = {label: PALETTE[index % len(PALETTE)] for index, label in enumerate(others)}
    return colours | dict.fromkeys(sorted(baselines), BASELINE_COLOUR)


def _trial_plot(report: Report, result: BenchmarkResult, colours: dict[str, str]) -> Plot | None:
    marks = [_trial_mark(row, result, colours[row.label]) for row in result.rows]
    if not any(mark.points for mark in marks):
        return None
    floors = {
        f"{floor.name} (floor)": sum(floor.ranges[result.main_metric]) / 2
        for floor in result.floors
        if result.main_metric in floor.ranges
    }
    unit = f"{main_metric_label(result)} (%)"
    alt = f"{benchmark_label(report, result)}, {unit}, mean ± sd (trials): " + "; ".join(
        [f"{mark.label} {mark.figures}" for mark in marks]
        + [f"{name} {fmt.number(value)}" for name, value in floors.items()]
    )
    return draw(f"trials-{fmt.slug(result.key.suite, result.key.benchmark)}", alt, marks, unit, floors=floors)


def _trial_mark(row: Row, result: BenchmarkResult, colour: str) -> Mark:
    figures = row.metrics.get(result.main_metric)
    bounds = figures.interval if figures else None
    return Mark(
        label=row_label(row),
        figures=main_summary(row, result),
        colour=colour,
        mean=figures.mean if figures else None,
        interval=(bounds.low, bounds.high) if bounds else None,
        points=tuple(row.values(result.main_metric).values()),
        hollow=not row.procedure.on_protocol,
    )


def _is_compared(row: Row, result: BenchmarkResult) -> bool:
    return result.main_metric in row.differences and row.differences[result.main_metric].summary.n > 0


def _difference_mark(row: Row, result: BenchmarkResult, colour: str, benchmark: str) -> Mark:
    figures = row.differences[result.main_metric].summary
    return Mark(
        label=row_label(row),
        figures=fmt.difference(figures),
        colour=colour,
        mean=figures.mean,
        interval=(figures.interval.low, figures.interval.high) if figures.interval else None,
        hollow=not row.procedure.on_protocol,
        heading=f"{benchmark}, {main_metric_label(result)}",
    )
