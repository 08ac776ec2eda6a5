"""A plot of the report: SVG in a wide and a narrow form for the HTML page, PNG for Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, distinct with every kind of colour vision; yellow is too pale on white and left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BASELINE_COLOUR = "#777777"
INK, MUTED, RULE, PAPER = "#1A1A1A", "#666666", "#CFCFCF", "#FFFFFF"

# The page's style sheet gives each of these variables a value for light and one for dark.
VARIABLES = {
    INK.lower(): "var(--ink)",
    MUTED: "var(--muted)",
    RULE.lower(): "var(--rule)",
    PAPER.lower(): "var(--paper)",
    BASELINE_COLOUR: "var(--baseline)",
    **{colour.lower(): f"var(--series-{number})" for number, colour in enumerate(PALETTE, start=1)},
}

FONT, FONT_SIZE = "DejaVu Sans", 9.0  # comes with matplotlib: the same everywhere
STYLE: Any = {
    "font.family": FONT,
    "font.size": FONT_SIZE,
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
POINTS = 72  # per inch: the SVG's unit


@dataclass(frozen=True)
class Label:
    """A line of text over a figure, which matplotlib would take a hundred times as long to set: a plot has many.

    Attributes:
        across: where it begins, or ends where ``at_end``, as a fraction of the figure's width.
        down: its middle, in inches from the top.
    """

    text: str
    across: float
    down: float
    colour: str = INK
    at_end: bool = False
    bold: bool = False


@dataclass(frozen=True)
class Drawing:
    figure: Figure
    labels: Sequence[Label] = ()


@dataclass(frozen=True)
class Plot:
    """``name``: id and file stem; ``alt``: what the picture says, in words; the SVGs are inline elements."""

    name: str
    alt: str
    svg_wide: str
    svg_narrow: str
    png: bytes


def render(name: str, alt: str, draw: Callable[[bool], Drawing], style: dict[str, Any] | None = None) -> Plot:
    """The plot of two figures, the same bytes each time.

    Args:
        draw: draws the narrow figure if given True, else the wide one.
        style: settings of matplotlib on top of :data:`STYLE`.
    """
    from matplotlib import rc_context

    settings: Any = {**STYLE, **(style or {}), "svg.hashsalt": name}
    with rc_context(settings):
        wide = draw(False)
        return Plot(
            name=name,
            alt=alt,
            svg_wide=inline_svg(_svg(wide), f"{name}-wide", alt),
            svg_narrow=inline_svg(_svg(draw(True)), f"{name}-narrow", alt),
            png=_png(wide),
        )


def _svg(drawing: Drawing) -> str:
    buffer = io.StringIO()
    drawing.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    rest, end, _ = buffer.getvalue().rpartition("</svg>")
    width = drawing.figure.get_figwidth() * POINTS
    texts = [
        f"<text style=\"font: {'bold ' if label.bold else ''}{FONT_SIZE:g}px '{FONT}'; fill: {label.colour.lower()}; "
        # Its outline hides the lines that pass behind it; 0.35 em below the middle is the baseline.
        f'paint-order: stroke; stroke: {PAPER.lower()}; stroke-width: 3px; stroke-linejoin: round" '
        f'text-anchor="{"end" if label.at_end else "start"}" '
        f'x="{label.across * width:.2f}" y="{label.down * POINTS + 0.35 * FONT_SIZE:.2f}">{escape(label.text)}</text>\n'
        for label in drawing.labels
    ]
    return "".join([rest, *texts, end])


def _png(drawing: Drawing) -> bytes:
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image, ImageDraw, ImageFont

    drawing.figure.set_dpi(PNG_DPI)
    canvas = FigureCanvasAgg(drawing.figure)
    canvas.draw()
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    brush = ImageDraw.Draw(picture)
    fonts = {
        bold: ImageFont.truetype(
            font_manager.findfont(font_manager.FontProperties(FONT, weight="bold" if bold else "normal")),
            FONT_SIZE * PNG_DPI / POINTS,
            layout_engine=ImageFont.Layout.BASIC,  # the same whether or not there is a library for complex scripts
        )
        for bold in {label.bold for label in drawing.labels}
    }
    for label in drawing.labels:
        brush.text(
            (label.across * picture.width, label.down * PNG_DPI),
            label.text,
            fill=label.colour,
            font=fonts[label.bold],
            anchor="rm" if label.at_end else "lm",
        )
    packed = io.BytesIO()
    picture.save(packed, format="png", compress_level=1)  # 5 % larger than by the default of 6, in 60 % of the time
    return packed.getvalue()


def inline_svg(document: str, name: str, alt: str) -> str:
    """An ``<svg>`` element for HTML: ids unique in the page, colours from the style sheet, a text alternative.

    Args:
        document: as matplotlib writes it.
        name: goes before every id.
        alt: what the picture says, for those who cannot see it.
    """
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda match: VARIABLES.get(match[0], match[0]), svg)
    svg = re.sub(r' (?:width|height)="[0-9.]+pt"', "", svg, count=2)
    title = f'<title id="{name}-title">{escape(alt)}</title>'
    opening, rest = svg.split(">", 1)
    return f'{opening} role="img" aria-labelledby="{name}-title">\n{title}{rest}'
