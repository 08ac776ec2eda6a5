"""Draws dot-and-interval plots: one labelled row per mark over the axis of its heading."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.report.draw.plot import MUTED, PAPER, Drawing, Label, Plot, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Stroke = tuple[tuple[float, float], tuple[float, float]]  # from, to: figure's unit across, inches down
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
        label_characters, heading_characters, unit_characters: how long a text may be so that nothing is cut off.
    """

    width: float
    left: float
    right: float
    row_height: float
    text_offset: float
    line_offset: float
    label_characters: int
    heading_characters: int
    unit_characters: int


WIDE = PlotSizes(8.6, 0.26, 0.76, 0.30, 0.15, 0.15, label_characters=28, heading_characters=100, unit_characters=70)
NARROW = PlotSizes(3.7, 0.02, 0.98, 0.48, 0.10, 0.30, label_characters=21, heading_characters=40, unit_characters=46)
HEADING_HEIGHT = 0.28
AXIS_HEIGHT = 0.48
TICKS_HEIGHT = 0.30
LINE_HEIGHT = 0.16
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
    """A plot of the marks, one under the other, over an axis for each heading.

    Args:
        unit: what the axis shows, with its unit.
        floors: label to value of dashed lines.
        zero: mark the axis' zero.
    """

    def drawing(narrow: bool) -> Drawing:
        return _drawing(NARROW if narrow else WIDE, marks, unit, floors or {}, zero)

    return render(name, alt, drawing)


def _drawing(layout: PlotSizes, marks: Sequence[Mark], unit: str, floors: Mapping[str, float], zero: bool) -> Drawing:
    from matplotlib.figure import Figure

    panels = [list(group) for _, group in itertools.groupby(marks, key=lambda mark: mark.heading)]
    label = textwrap.wrap(unit, layout.unit_characters)
    axis_height = AXIS_HEIGHT + LINE_HEIGHT * (len(label) - 1)
    heights = [_panel_height(layout, panel) for panel in panels]  # in inches
    below = [TICKS_HEIGHT] * (len(panels) - 1) + [axis_height]
    inches = 0.06 + FLOOR_HEIGHT * len(floors) + sum(heights) + sum(below)
    figure = Figure(figsize=(layout.width, inches))
    bottom = inches - 0.06 - FLOOR_HEIGHT * len(floors)
    labels: list[Label] = []
    for panel, height, rest in zip(panels, heights, below, strict=True):
        bottom -= height
        axes = figure.add_axes((layout.left, bottom / inches, layout.right - layout.left, height / inches))
        axes.set_ylim(height, 0)
        _draw_panel(axes, layout, panel, floors, zero)
        labels += _labels(layout, panel, inches - bottom - height)
        bottom -= rest
    axes.set_xlabel("\n".join(label))
    return Drawing(figure, labels)


def _panel_height(layout: PlotSizes, panel: Sequence[Mark]) -> float:
    return HEADING_HEIGHT * (panel[0].heading is not None) + layout.row_height * len(panel) + 0.04


def _draw_panel(axes: Axes, layout: PlotSizes, panel: Sequence[Mark], floors: Mapping[str, float], zero: bool) -> None:
    """The rows under one heading, over an axis of their own."""
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=3)
    axes.margins(x=0.06)
    tops = _tops(layout, panel)
    _draw_marks(axes, [(mark, top + layout.line_offset) for mark, top in zip(panel, tops, strict=True)])
    if zero:
        above = tops[0] + layout.line_offset - 0.15  # the heading, and on a phone the first label
        axes.axvline(0, ymax=1 - above / axes.get_ylim()[0], color=MUTED, linewidth=1, zorder=1)
    values = [value for mark in panel for value in (*mark.points, *(mark.interval or ()), mark.mean)]
    _draw_floors(axes, floors, [value for value in values if value is not None])


def _tops(layout: PlotSizes, panel: Sequence[Mark]) -> list[float]:
    """Of the rows, in inches from the top of the panel."""
    first = HEADING_HEIGHT * (panel[0].heading is not None)
    return [first + index * layout.row_height for index in range(len(panel))]


def _labels(layout: PlotSizes, panel: Sequence[Mark], above: float) -> list[Label]:
    """Headings, labels and figures of a panel that begins this many inches from the figure's top."""
    tops = [above + top for top in _tops(layout, panel)]
    labels = []
    if heading := panel[0].heading:
        labels.append(Label(_shortened(heading, layout.heading_characters), 0.0, tops[0] - 0.10, bold=True))
    for mark, top in zip(panel, tops, strict=True):
        labels.append(Label(_shortened(mark.label, layout.label_characters), 0.0, top + layout.text_offset))
        labels.append(Label(mark.figures, 1.0, top + layout.text_offset, MUTED, at_end=True))
    return labels


def _shortened(text: str, most: int) -> str:
    """The text without its middle: the end says what kind of row it is. Tables and the text alternative have it all."""
    if len(text) <= most:
        return text
    end = most // 2 - 2
    return f"{text[: most - end - 1]}…{text[-end:]}"


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
