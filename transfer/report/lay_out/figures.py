"""What the report's plots show: every trial of each benchmark, and the differences to the baseline over all."""

from __future__ import annotations

from transfer.report.compare.model import Report
from transfer.report.draw.marks import Mark, draw
from transfer.report.draw.plot import BASELINE_COLOUR, PALETTE, Plot
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import benchmark_label, main_metric_label, main_summary, row_label


def trial_plots(report: Report) -> list[Plot | None]:
    """One plot per benchmark, in their order; None where no trial is done."""
    colours = weights_colours(report)
    plots: list[Plot | None] = []
    for result in report.benchmarks:
        marks = []
        for row in result.rows:
            figures = row.metrics.get(result.main_metric)
            bounds = figures.interval if figures else None
            mark = Mark(
                label=row_label(row),
                figures=main_summary(row, result),
                colour=colours[row.label],
                mean=figures.mean if figures else None,
                interval=(bounds.low, bounds.high) if bounds else None,
                points=tuple(row.values(result.main_metric).values()),
                hollow=not row.procedure.on_protocol,
            )
            marks.append(mark)
        if not any(mark.points for mark in marks):
            plots.append(None)
            continue
        floors = {
            f"{floor.name} (floor)": sum(floor.ranges[result.main_metric]) / 2
            for floor in result.floors
            if result.main_metric in floor.ranges
        }
        floors = {f"{name} {fmt.number(value)}": value for name, value in floors.items()}
        unit = f"{main_metric_label(result)} (%)"
        alt = f"{benchmark_label(report, result)}, {unit}, mean ± sd (trials): " + "; ".join(
            [*(f"{mark.label} {mark.figures}" for mark in marks), *floors]
        )
        name = f"trials-{fmt.slug(result.key.suite, result.key.benchmark)}"
        plots.append(draw(name, alt, marks, unit, floors=floors))
    return plots


def overview_plot(report: Report) -> Plot | None:
    """Forest plot: paired differences of the main metrics to the baseline, all benchmarks; None without any."""
    colours = weights_colours(report)
    marks = []
    for result in report.benchmarks:
        for row in result.rows:
            compared = row.differences.get(result.main_metric)
            if compared is None or not compared.summary.n:
                continue
            bounds = compared.summary.interval
            mark = Mark(
                label=row_label(row),
                figures=fmt.difference(compared.summary),
                colour=colours[row.label],
                mean=compared.summary.mean,
                interval=(bounds.low, bounds.high) if bounds else None,
                hollow=not row.procedure.on_protocol,
                heading=f"{benchmark_label(report, result)}, {main_metric_label(result)}",
            )
            marks.append(mark)
    if not marks:
        return None
    baselines = sorted({row.baseline for row in report.rows if row.baseline})
    unit = f"difference to {' or '.join(baselines)} (percentage points)"
    alt = f"Paired {unit}, with 95 % intervals: " + "; ".join(
        f"{mark.heading}, {mark.label}: {mark.figures}" for mark in marks
    )
    return draw("overview", alt, marks, unit, zero=True)


def weights_colours(report: Report) -> dict[str, str]:
    """One colour per weights in all plots, grey for the baseline; direct labels distinguish them anyway."""
    baselines = {row.label for row in report.rows if row.is_baseline}
    others = sorted({row.label for row in report.rows} - baselines)
    colours = {label: PALETTE[index % len(PALETTE)] for index, label in enumerate(others)}
    return colours | dict.fromkeys(sorted(baselines), BASELINE_COLOUR)
