"""What the pictures share: fonts, colours that every kind of colour vision can distinguish, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twist_common.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette
BLUE, ORANGE, SKY = "#0072B2", "#D55E00", "#56B4E9"
INK, MUTED, RULE, PAPER = "#1A1A1A", "#5F5F5F", "#CFCFCF", "#FFFFFF"  # on white in dark pages, too

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 9.0,
    "text.parse_math": False,  # the name of a class may hold a dollar sign
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.6,
}
DPI = 130


def save(draw: Callable[[], Figure], path: Path) -> Path:
    """Draws with Agg in one style, whatever the user's matplotlibrc says, and writes a PNG whole or not at all."""
    from matplotlib import style

    with style.context(["default", STYLE]), atomic_path(path) as temporary:
        draw().savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    return path


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
