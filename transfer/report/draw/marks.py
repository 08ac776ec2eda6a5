"""Draws dot-and-interval plots: SVG in a wide and a narrow form for the HTML page, PNG for Markdown."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.report.draw.svg import inline_svg
from transfer.report.lay_out import format as fmt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, distinct with every kind of colour vision; yellow is too pale on white and left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BASELINE_COLOUR = "#777777"
INK, MUTED, RULE, PAPER = "#1A1A1A", "#666666", "#CFCFCF", "#FFFFFF"

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
PNG_DPI = 160
Stroke = tuple[tuple[float, float], tuple[float, float]]  # from, to: figure's unit across, inches down
LABEL_CHARACTERS = 32  # what fits beside the axes; tables and the text alternative have the whole name
OFF_AXIS_SPANS = 2  # a floor farther from the trials than this many times their range would squeeze them


@dataclass(frozen=True)
class Plot:
    """``name``: id and file stem; ``alt``: what the picture says, in words; the SVGs are inline elements."""

    name: str
    alt: str
    svg_wide: str
    svg_narrow: str
    png: bytes


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

    @property
    def extent(self) -> list[float]:
        middle = [] if self.mean is None else [self.mean]
        return [*self.points, *(self.interval or ()), *middle]


@dataclass(frozen=True)
class Layout:
    """Sizes in inches; the axes' sides in parts of the width.

    Attributes:
        text_above: label and figures stand above their line, not beside the axes.
    """

    width: float
    left: float
    right: float
    row_height: float
    text_above: bool

    @property
    def line_offset(self) -> float:
        """From the top of a row to its line."""
        return 0.30 if self.text_above else self.row_height / 2

    @property
    def text_offset(self) -> float:
        return 0.10 if self.text_above else self.row_height / 2


WIDE = Layout(width=8.6, left=0.26, right=0.76, row_height=0.30, text_above=False)
NARROW = Layout(width=3.7, left=0.02, right=0.98, row_height=0.48, text_above=True)
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
    from matplotlib import rc_context

    settings: Any = {**STYLE, "svg.hashsalt": name}
    with rc_context(settings):
        wide = _figure(WIDE, marks, unit, floors or {}, zero)
        narrow = _figure(NARROW, marks, unit, floors or {}, zero)
        return Plot(
            name=name,
            alt=alt,
            svg_wide=inline_svg(svg_of(wide), f"{name}-wide", alt),
            svg_narrow=inline_svg(svg_of(narrow), f"{name}-narrow", alt),
            png=saved(wide, "png", metadata={"Software": None}, dpi=PNG_DPI),
        )


def _figure(layout: Layout, marks: Sequence[Mark], unit: str, floors: Mapping[str, float], zero: bool) -> Figure:
    from matplotlib.figure import Figure

    tops, total = _tops(layout, marks)
    inches = 0.06 + FLOOR_HEIGHT * len(floors) + total + AXIS_HEIGHT
    figure = Figure(figsize=(layout.width, inches))
    axes = figure.add_axes((layout.left, AXIS_HEIGHT / inches, layout.right - layout.left, total / inches))
    axes.set_ylim(total, 0)  # in inches from the top
    _frame(axes, unit)
    _draw_headings(axes, marks, tops)
    for mark, top in zip(marks, tops, strict=True):
        _draw_text(axes, layout, mark, top)
    _draw_marks(axes, marks, [top + layout.line_offset for top in tops])
    if zero:
        axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    _draw_floors(axes, floors, [value for mark in marks for value in mark.extent])
    return figure


def _tops(layout: Layout, marks: Sequence[Mark]) -> tuple[list[float], float]:
    """Distance of each mark's row from the top, and the height of all rows."""
    tops, total, heading = [], 0.0, None
    for mark in marks:
        if mark.heading != heading:
            heading = mark.heading
            total += HEADING_HEIGHT
        tops.append(total)
        total += layout.row_height
    return tops, total + 0.04


def _frame(axes: Axes, unit: str) -> None:
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=3)
    axes.set_xlabel(unit)
    axes.margins(x=0.06)


def _draw_headings(axes: Axes, marks: Sequence[Mark], tops: Sequence[float]) -> None:
    heading = None
    for mark, top in zip(marks, tops, strict=True):
        if mark.heading is not None and mark.heading != heading:
            _text(axes, 0.0, top - 0.06, mark.heading, fontweight="bold")
        heading = mark.heading


def _draw_text(axes: Axes, layout: Layout, mark: Mark, top: float) -> None:
    label = mark.label
    if len(label) > LABEL_CHARACTERS:  # the end says what kind of row it is
        label = f"{label[: LABEL_CHARACTERS - 15]}…{label[-14:]}"
    _text(axes, 0.0, top + layout.text_offset, label)
    _text(axes, 1.0, top + layout.text_offset, mark.figures, ha="right", color=MUTED)


def _text(axes: Axes, across: float, down: float, text: str, **style: Any) -> None:
    """Text at a part of the figure's width and at inches from the top; hides lines that pass behind it."""
    from matplotlib.transforms import blended_transform_factory

    transform = blended_transform_factory(axes.figure.transFigure, axes.transData)
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}
    axes.text(across, down, text, transform=transform, va="center", bbox=behind, **style)


def _draw_marks(axes: Axes, marks: Sequence[Mark], lines: Sequence[float]) -> None:
    """Each kind of stroke is one artist for all rows: a page of many weights would take minutes otherwise."""
    rows = list(zip(marks, lines, strict=True))
    with_trials = [(mark, line) for mark, line in rows if mark.points]
    intervals = [(mark, line) for mark, line in rows if mark.interval is not None]
    _dots(axes, [(mark, line, value) for mark, line in with_trials for value in mark.points])
    _strokes(axes, [(mark, _bar(mark.interval, line)) for mark, line in intervals if mark.interval], width=2, above=2)
    for end in (0, 1):
        ends = [(mark, _tick(mark.interval[end], line, 0.045)) for mark, line in intervals if mark.interval]
        _strokes(axes, ends, width=2, above=2)
    means = [(mark, _tick(mark.mean, line, 0.085)) for mark, line in with_trials if mark.mean is not None]
    _strokes(axes, means, width=2.5, above=4)
    _squares(axes, [(mark, line) for mark, line in rows if mark.mean is not None and not mark.points])
    axes.autoscale_view(scaley=False)


def _bar(interval: tuple[float, float], line: float) -> Stroke:
    return (interval[0], line), (interval[1], line)


def _tick(value: float, line: float, half: float) -> Stroke:
    return (value, line - half), (value, line + half)


def _strokes(axes: Axes, strokes: Sequence[tuple[Mark, Stroke]], *, width: float, above: float) -> None:
    from matplotlib.collections import LineCollection

    if strokes:
        colours = [mark.colour for mark, _ in strokes]
        ends: list[Any] = [stroke for _, stroke in strokes]
        axes.add_collection(LineCollection(ends, colors=colours, linewidths=width, capstyle="butt", zorder=above))


def _dots(axes: Axes, dots: Sequence[tuple[Mark, float, float]]) -> None:
    if dots:
        colours, faces = [mark.colour for mark, _, _ in dots], [_face(mark) for mark, _, _ in dots]
        across, down = [value for _, _, value in dots], [line for _, line, _ in dots]
        axes.scatter(across, down, s=22, facecolor=faces, edgecolor=colours, alpha=0.55, zorder=3)


def _squares(axes: Axes, squares: Sequence[tuple[Mark, float]]) -> None:
    if squares:
        across: list[Any] = [mark.mean for mark, _ in squares]
        colours, faces = [mark.colour for mark, _ in squares], [_face(mark) for mark, _ in squares]
        style: Any = {"marker": "s", "s": 36, "linewidth": 1.5, "zorder": 4}
        axes.scatter(across, [line for _, line in squares], facecolor=faces, edgecolor=colours, **style)


def _face(mark: Mark) -> str:
    return PAPER if mark.hollow else mark.colour


def _draw_floors(axes: Axes, floors: Mapping[str, float], values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    reach = OFF_AXIS_SPANS * max(high - low, 1.0)
    for index, (label, value) in enumerate(floors.items()):
        text = f"{label} {fmt.number(value)}"
        if value < low - reach:
            _floor_text(axes, 0.0, f"← {text}, off this axis", index, side="left")
        elif value > high + reach:
            _floor_text(axes, 1.0, f"{text}, off this axis →", index, side="right")
        else:
            axes.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    left, right = axes.get_xlim()
    for index, (label, value) in enumerate(floors.items()):
        if left <= value <= right:
            part = (value - left) / (right - left)
            _floor_text(axes, part, f"{label} {fmt.number(value)}", index, side="left" if part < 0.5 else "right")


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


def svg_of(figure: Figure) -> str:
    """The figure as an SVG document, the same bytes each time."""
    return saved(figure, "svg", metadata={"Date": None, "Creator": None}).decode()


def saved(figure: Figure, kind: str, **settings: Any) -> bytes:
    """The figure as a file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **settings)
    return buffer.getvalue()
