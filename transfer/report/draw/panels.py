"""Draws panels of curves: three panels per row on a wide page, one on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.report.draw.plot import MUTED, PAPER, RULE, Drawing, Plot, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE_COLUMNS, PANEL_HEIGHT = 3, 2.15  # inches
WIDE_WIDTH, NARROW_WIDTH = 8.6, 3.7
TITLE_HEIGHT, AXIS_HEIGHT, GAP = 0.34, 0.46, 0.52  # inches: above each panel, below it, left of it
LEGEND_HEIGHT = 0.22  # of one line of it
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # distinct without colour, too
LEGEND: dict[str, Any] = {
    "frameon": False,
    "borderpad": 0,
    "borderaxespad": 0.2,
    "handlelength": 2.4,
    "labelspacing": 0.3,
    "columnspacing": 1.4,
}
MAX_TICKS = 6
MAX_LEGEND_CHARACTERS = 34


@dataclass(frozen=True)
class Curve:
    """A line, or dots alone; ``dash``: index of its style; ``published``: hollow diamonds, never joined."""

    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    dash: int = 0
    dots: Sequence[tuple[float, float]] = ()
    intervals: Sequence[tuple[float, float, float]] = ()  # x, low, high
    published: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        floor: height of a dashed line.
        ticks: the swept numbers, spaced by their ratio where ``logarithmic``.
    """

    title: str
    x_label: str
    curves: Sequence[Curve]
    floor: float | None = None
    ticks: Sequence[float] = ()
    logarithmic: bool = False


def draw_panels(name: str, alt: str, panels: Sequence[Panel]) -> Plot:
    """All panels in one picture, with one legend for all."""

    def drawing(narrow: bool) -> Drawing:
        columns, width = (1, NARROW_WIDTH) if narrow else (min(WIDE_COLUMNS, len(panels)), WIDE_WIDTH)
        return Drawing(_figure(panels, columns, width))

    return render(name, alt, drawing, {"ytick.color": MUTED, "ytick.labelcolor": MUTED})


def _figure(panels: Sequence[Panel], columns: int, width: float) -> Figure:
    from matplotlib.figure import Figure

    curves: dict[str, Curve] = {}  # the first of each label
    for panel in panels:
        for curve in panel.curves:
            curves.setdefault(curve.label, curve)
    legend = list(curves.values()) if len(curves) > 1 else []  # a single label needs none
    rows = -(-len(panels) // columns)
    legend_rows = -(-len(legend) // columns)
    row_height = TITLE_HEIGHT + PANEL_HEIGHT + AXIS_HEIGHT
    height = 0.1 + LEGEND_HEIGHT * legend_rows + rows * row_height
    figure = Figure(figsize=(width, height))
    cell = width / columns
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        bottom = height - 0.1 - LEGEND_HEIGHT * legend_rows - row * row_height - TITLE_HEIGHT - PANEL_HEIGHT
        box = ((column * cell + GAP) / width, bottom / height, (cell - GAP - 0.12) / width, PANEL_HEIGHT / height)
        _draw_panel(figure.add_axes(box), panel)
    if legend:
        _draw_legend(figure, legend, columns)
    return figure


def _draw_legend(figure: Figure, curves: Sequence[Curve], columns: int) -> None:
    from matplotlib.lines import Line2D

    handles, labels = [], []
    for curve in curves:
        style: Any = {
            "linestyle": DASHES[curve.dash % len(DASHES)],
            "marker": "o" if curve.dots else None,
            "markersize": 4,
        }
        if curve.published:
            style = {"linestyle": "", "marker": "D", "markersize": 5, "markerfacecolor": PAPER}
        handles.append(Line2D([], [], color=curve.colour, **style))
        is_short = len(curve.label) <= MAX_LEGEND_CHARACTERS
        labels.append(curve.label if is_short else f"{curve.label[:20]}…{curve.label[-12:]}")
    anchor = (0.0, 1 - 0.04 / figure.get_figheight())
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=anchor, ncols=columns, **LEGEND)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.set_title(panel.title, loc="left", fontsize=9, fontweight="bold")
    axes.set_xlabel(panel.x_label)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=3)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    if panel.logarithmic:
        axes.set_xscale("log", base=2)
    for curve in panel.curves:
        _draw_curve(axes, curve)
    if panel.floor is not None:
        axes.axhline(panel.floor, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.margins(x=0.05, y=0.1)
    if panel.ticks:
        ticks = panel.ticks if len(panel.ticks) <= MAX_TICKS else panel.ticks[:: -(-len(panel.ticks) // MAX_TICKS)]
        axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=5)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    across, up = [x for x, _ in curve.points], [y for _, y in curve.points]
    if curve.published:
        axes.plot(across, up, "D", color=curve.colour, markerfacecolor=PAPER, markersize=5, zorder=4)
        return
    single = "o" if len(curve.points) == 1 and not curve.dots else None
    style: Any = DASHES[curve.dash % len(DASHES)]
    axes.plot(across, up, color=curve.colour, linewidth=1.6, linestyle=style, marker=single, markersize=4, zorder=3)
    if curve.dots:
        axes.plot([x for x, _ in curve.dots], [y for _, y in curve.dots], "o", color=curve.colour, alpha=0.55,
                  markersize=4.5, zorder=3)  # fmt: skip
    for x, low, high in curve.intervals:
        axes.plot([x, x], [low, high], color=curve.colour, linewidth=2, zorder=2)
