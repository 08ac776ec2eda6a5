"""Draws dot-and-interval plots: one labelled row per mark over a common axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.report.draw.plot import MUTED, PAPER, Plot, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Stroke = tuple[tuple[float, float], tuple[float, float]]  # from, to: figure's unit across, inches down
LABEL_CHARACTERS = 32  # what fits beside the axes; tables and the text alternative have the whole name
OFF_AXIS_SPANS = 2  # a floor farther from the trials than this many times their range would squeeze them


@dataclass(frozen=True)
class Mark:
    """One line of a plot: label, trials as points, mean with its interval, and the figures as text."""

    label: str
    figures: str
    colour: str
    mean: float | None
    interval: tuple[float, float] | None
    points: Sequence[float] = ()
    hollow: bool = False
    heading: str | None = None


@dataclass(frozen=True)
class PlotSizes:
    """Sizes in inches; the axes' sides as fractions of the width.

    Attributes:
        text_offset: from the top of a row to its label and figures.
        line_offset: from the top of a row to its line.
    """

    width: float
    left: float
    right: float
    row_height: float
    text_offset: float
    line_offset: float


WIDE = PlotSizes(width=8.6, left=0.26, right=0.76, row_height=0.30, text_offset=0.15, line_offset=0.15)
NARROW = PlotSizes(width=3.7, left=0.02, right=0.98, row_height=0.48, text_offset=0.10, line_offset=0.30)
HEADING_HEIGHT = 0.28
AXIS_HEIGHT = 0.48
FLOOR_HEIGHT = 0.17


def draw(
    name: str,
    alt: str,
    marks: Sequence[Mark],
    unit: str,
    *,
    floors: Mapping[str, float] | None = None,
    zero: bool = False,
) -> Plot:
    """A plot of the marks, one under the other, over a common axis.

    Args:
        unit: what the axis shows, with its unit.
        floors: label to value of dashed lines.
        zero: mark the axis' zero.
    """

    def figure(narrow: bool) -> Figure:
        return _figure(NARROW if narrow else WIDE, marks, unit, floors or {}, zero)

    return render(name, alt, figure)


def _figure(layout: PlotSizes, marks: Sequence[Mark], unit: str, floors: Mapping[str, float], zero: bool) -> Figure:
    from matplotlib.figure import Figure

    tops, total, heading = [], 0.0, None  # in inches from the top of the axes to each mark's row
    for mark in marks:
        if mark.heading != heading:
            heading = mark.heading
            total += HEADING_HEIGHT
        tops.append(total)
        total += layout.row_height
    total += 0.04
    inches = 0.06 + FLOOR_HEIGHT * len(floors) + total + AXIS_HEIGHT
    figure = Figure(figsize=(layout.width, inches))
    axes = figure.add_axes((layout.left, AXIS_HEIGHT / inches, layout.right - layout.left, total / inches))
    axes.set_ylim(total, 0)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=3)
    axes.set_xlabel(unit)
    axes.margins(x=0.06)
    _draw_texts(axes, layout, marks, tops)
    _draw_marks(axes, [(mark, top + layout.line_offset) for mark, top in zip(marks, tops, strict=True)])
    if zero:
        axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    values = [value for mark in marks for value in (*mark.points, *(mark.interval or ()), mark.mean)]
    _draw_floors(axes, floors, [value for value in values if value is not None])
    return figure


def _draw_texts(axes: Axes, layout: PlotSizes, marks: Sequence[Mark], tops: Sequence[float]) -> None:
    """Headings, labels and figures, at fractions of the figure's width and at inches from the top."""
    from matplotlib.transforms import blended_transform_factory

    transform = blended_transform_factory(axes.figure.transFigure, axes.transData)
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}  # hides lines that pass behind the text
    common: dict[str, Any] = {"transform": transform, "va": "center", "bbox": behind}
    heading = None
    for mark, top in zip(marks, tops, strict=True):
        if mark.heading is not None and mark.heading != heading:
            axes.text(0.0, top - 0.06, mark.heading, **common, fontweight="bold")
        heading = mark.heading
    for mark, top in zip(marks, tops, strict=True):
        label = mark.label
        if len(label) > LABEL_CHARACTERS:  # the end says what kind of row it is
            label = f"{label[: LABEL_CHARACTERS - 15]}…{label[-14:]}"
        axes.text(0.0, top + layout.text_offset, label, **common)
        axes.text(1.0, top + layout.text_offset, mark.figures, **common, ha="right", color=MUTED)


def _draw_marks(axes: Axes, rows: Sequence[tuple[Mark, float]]) -> None:
    """Each kind of stroke is one artist for all rows: a page of many weights would take minutes otherwise."""
    dots = [(mark, value, line) for mark, line in rows for value in mark.points]
    if dots:
        _scatter(axes, dots, s=22, alpha=0.55, zorder=3)
    intervals = [(mark, mark.interval, line) for mark, line in rows if mark.interval is not None]
    _strokes(axes, [(mark, ((low, line), (high, line))) for mark, (low, high), line in intervals], width=2, above=2)
    for end in (0, 1):
        _strokes(axes, [(mark, _tick(ends[end], line, 0.045)) for mark, ends, line in intervals], width=2, above=2)
    means = [(mark, _tick(mark.mean, line, 0.085)) for mark, line in rows if mark.points and mark.mean is not None]
    _strokes(axes, means, width=2.5, above=4)
    squares = [(mark, mark.mean, line) for mark, line in rows if mark.mean is not None and not mark.points]
    if squares:
        _scatter(axes, squares, marker="s", s=36, linewidth=1.5, zorder=4)
    axes.autoscale_view(scaley=False)


def _tick(value: float, line: float, half: float) -> Stroke:
    return (value, line - half), (value, line + half)


def _scatter(axes: Axes, points: Sequence[tuple[Mark, float, float]], **style: Any) -> None:
    colours = [mark.colour for mark, _, _ in points]
    faces = [PAPER if mark.hollow else mark.colour for mark, _, _ in points]
    across, down = [value for _, value, _ in points], [line for _, _, line in points]
    axes.scatter(across, down, facecolor=faces, edgecolor=colours, **style)


def _strokes(axes: Axes, strokes: Sequence[tuple[Mark, Stroke]], *, width: float, above: float) -> None:
    from matplotlib.collections import LineCollection

    if strokes:
        colours = [mark.colour for mark, _ in strokes]
        ends: list[Any] = [stroke for _, stroke in strokes]
        axes.add_collection(LineCollection(ends, colors=colours, linewidths=width, capstyle="butt", zorder=above))


def _draw_floors(axes: Axes, floors: Mapping[str, float], values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    reach = OFF_AXIS_SPANS * max(high - low, 1.0)
    for index, (label, value) in enumerate(floors.items()):
        if value < low - reach:
            _floor_text(axes, 0.0, f"← {label}, off this axis", index, side="left")
        elif value > high + reach:
            _floor_text(axes, 1.0, f"{label}, off this axis →", index, side="right")
        else:
            axes.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    left, right = axes.get_xlim()
    for index, (label, value) in enumerate(floors.items()):
        if left <= value <= right:
            part = (value - left) / (right - left)
            _floor_text(axes, part, label, index, side="left" if part < 0.5 else "right")


def _floor_text(axes: Axes, across: float, text: str, index: int, *, side: str) -> None:
    offset = (3 if side == "left" else -3) if 0 < across < 1 else 0
    axes.annotate(
        text,
        xy=(across, 1),
        xycoords="axes fraction",
        xytext=(offset, 2 + 12 * index),
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=MUTED,
        fontsize=8,
        annotation_clip=False,
    )
