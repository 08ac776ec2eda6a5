"""How many images each cluster gets, the largest first: collapse and unused clusters at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer.tasks.clustering.matching import UNMATCHED, Matching
from transfer.tasks.clustering.picture_style import BLUE, INK, MUTED, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 100  # clusters from which the axis is logarithmic and the bars touch
LOG_FLOOR = 0.7  # so that a cluster of one image is seen


@dataclass(frozen=True)
class Usage:
    """``sizes``: (C,) images, falling; ``matched``: (C,) whether that cluster stands for a class."""

    sizes: NDArray[np.int64]
    matched: NDArray[np.bool_]

    @property
    def num_unused(self) -> int:
        return int(np.count_nonzero(self.sizes == 0))

    @property
    def even_share(self) -> float:
        return float(self.sizes.mean())


def measure(matching: Matching) -> Usage:
    """Clusters by falling size; of equal ones the lower id first."""
    order = np.argsort(-matching.sizes, kind="stable")
    return Usage(sizes=matching.sizes[order], matched=matching.label_of[order] != UNMATCHED)


def draw_usage(usage: Usage) -> Figure:
    """A bar for each cluster, dark where it stands for a class."""
    from matplotlib.figure import Figure

    num_clusters, num_unused = len(usage.sizes), usage.num_unused
    figure = Figure(figsize=(7.2, 3.2))
    axes = figure.add_axes((0.095, 0.16, 0.88, 0.66))
    _bars(axes, usage)
    note: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "fontsize": 8.5}
    axes.axhline(usage.even_share, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    axes.annotate(
        f"even share: {usage.even_share:.4g}",
        xy=(1, usage.even_share),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        va="bottom",
        **note,
    )
    if num_unused:
        first = num_clusters - num_unused + 0.5
        axes.axvspan(first, num_clusters + 0.5, color="#EEEEEE", zorder=0, linewidth=0)
        axes.annotate(
            f"{num_unused} unused",
            xy=(first, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(-3, 0),
            va="top",
            color=MUTED,
            **note,
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("clusters, the largest first")
    axes.set_ylabel("test images")
    title = f"{num_clusters - num_unused} of {num_clusters} clusters used"
    figure.text(0.012, 0.965, title, va="top", fontsize=10, weight="bold")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2, frameon=False, fontsize=8.5, borderaxespad=0.2)
    return figure


def _bars(axes: Axes, usage: Usage) -> None:
    """Dark against light, and hatched where there is room, so that the two kinds differ without colour."""
    from matplotlib.ticker import MaxNLocator

    many = len(usage.sizes) > MANY
    hatched: dict[str, Any] = {"facecolor": "#D6ECF8", "edgecolor": BLUE, "hatch": "////", "linewidth": 0.6}
    kinds: list[tuple[bool, str, dict[str, Any]]] = [
        (True, "stands for a class", {"facecolor": BLUE}),
        (False, "left over by the matching", {"facecolor": SKY} if many else hatched),
    ]
    for matched, label, style in kinds:
        chosen = usage.matched == matched
        if many and chosen.any():  # one outline: thousands of bars take seconds to draw
            edges = np.arange(len(usage.sizes) + 1) + 0.5
            axes.stairs(np.where(chosen, usage.sizes, 0), edges, fill=True, baseline=LOG_FLOOR, label=label, **style)
        elif chosen.any():
            axes.bar(np.flatnonzero(chosen) + 1, usage.sizes[chosen], width=0.8, label=label, **style)
    axes.set_xlim(0.2, len(usage.sizes) + 0.8)
    axes.set_ylim(0, 1.15 * int(usage.sizes.max()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if many:
        axes.set_yscale("log")
        axes.set_ylim(LOG_FLOOR, 1.6 * max(int(usage.sizes.max()), 2))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
