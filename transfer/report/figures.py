"""The report's plots: SVG for the HTML page (its colours follow light and dark), PNG for Markdown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.report import format as fmt
from transfer.report.results import BenchmarkResult, Report, Row
from transfer.report.svg import inline_svg
from transfer.report.tables import benchmark_label, main_metric_label, main_summary, row_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, distinct with every kind of colour vision; yellow is too pale on white and left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BASELINE_COLOUR = "#777777"
INK, MUTED, RULE, PAPER = "#1A1A1A", "#666666", "#CFCFCF", "#FFFFFF"

WIDTH_INCHES = 5.4  # narrow enough for a phone to show its text at a readable size
ROW_INCHES = 0.46
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 9.0,
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.fonttype": "none",
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "xtick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "text.color": INK,
    "axes.labelcolor": INK,
}


@dataclass(frozen=True)
class Plot:
    """``name``: id and file stem; ``alt``: what the picture says, in words; ``svg`` is an inline element."""

    name: str
    alt: str
    svg: str
    png: bytes


@dataclass(frozen=True)
class Mark:
    """One line of a plot: a label above, points, a mean with its interval, and figures on the right."""

    label: str
    figures: str
    colour: str
    mean: float | None
    interval: tuple[float, float] | None
    points: Sequence[float] = ()
    hollow: bool = False
    heading: str | None = None


def trial_plots(report: Report) -> list[Plot | None]:
    """One plot per benchmark, in their order; None where no trial is done."""
    colours = weights_colours(report)
    return [_trial_plot(report, result, colours) for result in report.benchmarks]


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
        floor.name: sum(floor.ranges[result.main_metric]) / 2
        for floor in result.floors
        if result.main_metric in floor.ranges
    }
    unit = f"{main_metric_label(result)} (%)"
    alt = f"{benchmark_label(report, result)}, {unit}, mean ± sd (trials): " + "; ".join(
        [f"{mark.label} {mark.figures}" for mark in marks]
        + [f"{name} floor {fmt.number(value)}" for name, value in floors.items()]
    )
    return _draw(f"trials-{fmt.slug(result.key.suite, result.key.benchmark)}", alt, marks, unit, lines=floors)


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


def overview_plot(report: Report) -> Plot | None:
    """Forest plot: paired differences of the main metrics to the baseline, all benchmarks; None without any."""
    colours = weights_colours(report)
    marks = [
        _difference_mark(row, result, colours[row.label], benchmark_label(report, result))
        for result in report.benchmarks
        for row in result.rows
        if row.baseline is not None and row.differences[result.main_metric].summary.n
    ]
    if not marks:
        return None
    baselines = sorted({row.baseline for row in report.rows if row.baseline})
    unit = f"difference to {' or '.join(baselines)} (percentage points)"
    alt = f"Paired {unit}, with 95 % intervals: " + "; ".join(
        f"{mark.heading}, {mark.label}: {mark.figures}" for mark in marks
    )
    return _draw("overview", alt, marks, unit, zero=True)


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


def _draw(
    name: str, alt: str, marks: list[Mark], unit: str, *, lines: dict[str, float] | None = None, zero: bool = False
) -> Plot:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**STYLE, "svg.hashsalt": name}):
        heights, total = _layout(marks)
        top, bottom = 0.12 + 0.17 * len(lines or {}), 0.48
        inches = top + total + bottom
        figure = Figure(figsize=(WIDTH_INCHES, inches))
        axes = figure.add_axes((0.03, bottom / inches, 0.94, total / inches))
        axes.set_ylim(total, 0)
        _frame(axes, unit)
        for mark, height in zip(marks, heights, strict=True):
            _draw_mark(axes, mark, height)
        if zero:
            axes.axvline(0, color=INK, linewidth=1, zorder=1)
        for index, (label, value) in enumerate((lines or {}).items()):
            _draw_floor(axes, label, value, index)
        return Plot(name=name, alt=alt, svg=inline_svg(_saved(figure, "svg").decode(), name, alt), png=_png(figure))


def _layout(marks: list[Mark]) -> tuple[list[float], float]:
    """Distance of each mark's label from the top, and the height in all, in inches."""
    heights, total, heading = [], 0.06, None
    for mark in marks:
        if mark.heading is not None and mark.heading != heading:
            total += 0.26
        heading = mark.heading
        heights.append(total)
        total += ROW_INCHES
    return heights, total + 0.04


def _frame(axes: Axes, unit: str) -> None:
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=3)
    axes.set_xlabel(unit)
    axes.margins(x=0.06)


def _draw_mark(axes: Axes, mark: Mark, height: float) -> None:
    across = axes.get_yaxis_transform()  # x in parts of the axes, y in inches
    if mark.heading is not None and not any(text.get_text() == mark.heading for text in axes.texts):
        axes.text(0, height - 0.09, mark.heading, transform=across, va="center", fontweight="bold")
    axes.text(0, height + 0.1, mark.label, transform=across, va="center")
    axes.text(1, height + 0.1, mark.figures, transform=across, va="center", ha="right", color=MUTED)
    line = height + 0.29
    face = PAPER if mark.hollow else mark.colour
    axes.scatter(
        mark.points, [line] * len(mark.points), s=22, facecolor=face, edgecolor=mark.colour, alpha=0.55, zorder=3
    )
    if mark.interval is not None:
        axes.plot(mark.interval, [line, line], color=mark.colour, linewidth=2, solid_capstyle="butt", zorder=2)
        for end in mark.interval:
            axes.plot([end, end], [line - 0.045, line + 0.045], color=mark.colour, linewidth=2, zorder=2)
    if mark.mean is not None and mark.points:
        axes.plot([mark.mean, mark.mean], [line - 0.085, line + 0.085], color=mark.colour, linewidth=2.5, zorder=4)
    elif mark.mean is not None:
        axes.scatter(
            [mark.mean], [line], s=40, marker="s", facecolor=face, edgecolor=mark.colour, linewidth=1.5, zorder=4
        )


def _draw_floor(axes: Axes, label: str, value: float, index: int) -> None:
    axes.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    low, high = axes.get_xlim()
    side: Any = "left" if value < (low + high) / 2 else "right"
    offset = 3 if side == "left" else -3
    axes.annotate(
        f"{label} (floor) {fmt.number(value)}",
        xy=(value, 0),
        xytext=(offset, 3 + 12 * index),
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=MUTED,
        fontsize=8,
        annotation_clip=False,
    )


def _saved(figure: Figure, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=metadata, **settings)
    return buffer.getvalue()


def _png(figure: Figure) -> bytes:
    return _saved(figure, "png", dpi=160)
