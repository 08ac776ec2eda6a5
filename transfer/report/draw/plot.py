"""A plot of the report: SVG in a wide and a narrow form for the HTML page, PNG for Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
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

STYLE: Any = {
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


@dataclass(frozen=True)
class Plot:
    """``name``: id and file stem; ``alt``: what the picture says, in words; the SVGs are inline elements."""

    name: str
    alt: str
    svg_wide: str
    svg_narrow: str
    png: bytes


def render(name: str, alt: str, draw: Callable[[bool], Figure], style: dict[str, Any] | None = None) -> Plot:
    """The plot of two figures, the same bytes each time.

    Args:
        draw: draws the narrow figure if given True, else the wide one.
        style: settings of matplotlib on top of :data:`STYLE`.
    """
    from matplotlib import rc_context

    def saved(figure: Figure, **settings: Any) -> bytes:
        buffer = io.BytesIO()
        figure.savefig(buffer, **settings)
        return buffer.getvalue()

    settings: Any = {**STYLE, **(style or {}), "svg.hashsalt": name}
    with rc_context(settings):
        wide, narrow = draw(False), draw(True)
        svg_wide, svg_narrow = (
            saved(figure, format="svg", metadata={"Date": None, "Creator": None}).decode() for figure in (wide, narrow)
        )
        return Plot(
            name=name,
            alt=alt,
            svg_wide=inline_svg(svg_wide, f"{name}-wide", alt),
            svg_narrow=inline_svg(svg_narrow, f"{name}-narrow", alt),
            png=saved(wide, format="png", metadata={"Software": None}, dpi=PNG_DPI),
        )


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
