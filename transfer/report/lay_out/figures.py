"""What the report's plots show: every trial of each benchmark, and the differences to the baseline over all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transfer.report.compare.model import BenchmarkResult, Report, ResultRow
from transfer.report.compare.statistics import SampleSummary
from transfer.report.draw.marks import Mark, draw
from transfer.report.draw.plot import BASELINE_COLOUR, PALETTE, Plot
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import benchmark_label, main_metric_label, row_label

MAX_MARKS = 40  # of one overview: about a screen's height


def trial_plot(report: Report, result: BenchmarkResult) -> Plot | None:
    """Every trial of a benchmark; None where no trial is done."""
    main, colours = result.main_metric, _colours(report)
    marks = []
    for row in result.rows:
        summary, points = row.metrics.get(main), tuple(row.values(main).values())
        marks.append(_mark(row, colours, summary, figures=fmt.summary(summary, len(row.failed)), points=points))
    if not any(mark.points for mark in marks):
        return None
    floors = {}
    for floor in (floor for floor in result.floors if main in floor.ranges):
        middle = sum(floor.ranges[main]) / 2
        floors[f"{floor.name} (floor) {fmt.number(middle)}"] = middle
    unit = f"{main_metric_label(result)}{'' if fmt.names_unit(main) else ' (%)'}"
    alt = f"{benchmark_label(report, result)}, {unit}, mean ± sd (trials): " + "; ".join(
        [*(f"{mark.label} {mark.figures}" for mark in marks), *floors]
    )
    return draw(f"trials-{fmt.slug(result.key.suite, result.key.benchmark)}", alt, marks, unit, floors=floors)


def trial_caption(result: BenchmarkResult) -> str:
    """What the marks of :func:`trial_plot` are, of those that this plot has."""
    has_floor = any(result.main_metric in floor.ranges for floor in result.floors)
    is_hollow = any(not row.procedure.on_protocol for row in result.rows)
    parts = ["Dot: one trial. Long tick: mean. Bar: 95 % interval."]
    parts += ["Dashed: floor, reached without training."] if has_floor else []
    parts += ["Hollow: off protocol."] if is_hollow else []
    return " ".join(parts)


def overview_plots(report: Report) -> tuple[Plot, ...]:
    """Forest plots: paired differences of the main metrics to the baseline, each benchmark on a scale of its own.

    Benchmarks share a plot as long as it has no more than :data:`MAX_MARKS` rows.
    """
    colours = _colours(report)
    parts: list[list[Mark]] = [[]]
    for result in report.benchmarks:
        heading = f"{benchmark_label(report, result)}, {main_metric_label(result)}"
        marks = []
        for row in result.rows:
            compared = row.differences.get(result.main_metric)
            if compared and compared.summary.n:
                figures = fmt.difference(compared.summary, compared.simultaneous)
                shown = replace(compared.summary, interval=compared.simultaneous or compared.summary.interval)
                marks.append(_mark(row, colours, shown, figures=figures, heading=heading))
        if len(parts[-1]) + len(marks) > MAX_MARKS:
            parts.append([])
        parts[-1] += marks
    baselines = sorted({row.baseline for row in report.rows if row.baseline})
    unit = fmt.in_units((result.main_metric for result in report.benchmarks), "percentage points")
    unit = f"difference to {' or '.join(baselines)} ({unit})"
    plots: list[Plot] = []
    for marks in filter(None, parts):
        alt = f"Paired {unit}, with simultaneous 95 % intervals: " + "; ".join(
            f"{mark.heading}, {mark.label}: {mark.figures}" for mark in marks
        )
        plots.append(draw(f"overview-{len(plots) + 1}" if plots else "overview", alt, marks, unit, zero=True))
    return tuple(plots)


def _colours(report: Report) -> dict[str, str]:
    """One colour per weights in all plots, grey for the baseline; direct labels distinguish them anyway."""
    baselines = {row.label for row in report.rows if row.is_baseline}
    others = sorted({row.label for row in report.rows} - baselines)
    colours = {label: PALETTE[index % len(PALETTE)] for index, label in enumerate(others)}
    return colours | dict.fromkeys(baselines, BASELINE_COLOUR)


def _mark(row: ResultRow, colours: dict[str, str], summary: SampleSummary | None, **shown: Any) -> Mark:
    bounds = summary.interval if summary else None
    return Mark(
        label=row_label(row),
        colour=colours[row.label],
        mean=summary.mean if summary else None,
        interval=(bounds.low, bounds.high) if bounds else None,
        hollow=not row.procedure.on_protocol,
        **shown,
    )
