"""Makes matplotlib's SVG a well-behaved part of an HTML page."""

from __future__ import annotations

import re
from html import escape

# The page's style sheet gives each of these variables a value for light and one for dark.
VARIABLES = {
    "#1a1a1a": "var(--ink)",
    "#666666": "var(--muted)",
    "#cfcfcf": "var(--rule)",
    "#ffffff": "var(--paper)",
    "#777777": "var(--baseline)",
    "#0072b2": "var(--series-1)",
    "#d55e00": "var(--series-2)",
    "#009e73": "var(--series-3)",
    "#cc79a7": "var(--series-4)",
    "#e69f00": "var(--series-5)",
    "#56b4e9": "var(--series-6)",
}


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
