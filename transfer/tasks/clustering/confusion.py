"""The confusion matrix: classes down, clusters across in the order of the classes that they are matched with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfer.tasks.clustering.matching import UNMATCHED, Matching
from transfer.tasks.clustering.picture_style import INK, MUTED, PAPER, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CELLS = 250  # per side: finer cells could not be distinguished
MAX_NAMED = 30  # classes up to which their names are beside the rows
MAX_WRITTEN = 20  # clusters up to which percentages are written into the cells
MAX_NAME = 20  # characters
SIDE_INCHES = 5.4


@dataclass(frozen=True)
class Confusion:
    """What is drawn.

    Attributes:
        shares: (L, U) part of each class that is in each used cluster, from 0 to 1; matched classes come first, in
            their order, so that what is right lies on the diagonal.
        rows, columns: the classes' names, and the clusters' ids.
        num_matched: length of the diagonal.
        num_empty: clusters without an image, which are left out.
        accuracy: after matching, from 0 to 1.
    """

    shares: NDArray[np.float64]
    rows: tuple[str, ...]
    columns: tuple[int, ...]
    num_matched: int
    num_empty: int
    accuracy: float


def arrange(matching: Matching, names: Sequence[str]) -> Confusion:
    """Orders classes and clusters.

    Clusters left over by the matching come last, those with the same most frequent class together, large ones first. A
    class without images has a row of zeros.
    """
    sizes, label_of = matching.sizes, matching.label_of
    matched = sorted(np.flatnonzero(label_of != UNMATCHED).tolist(), key=lambda cluster: label_of[cluster])
    rest = np.flatnonzero((label_of == UNMATCHED) & (sizes > 0)).tolist()
    rest.sort(key=lambda cluster: (matching.main_label(cluster), -sizes[cluster]))
    labels = label_of[matched].tolist()
    labels += sorted(set(range(len(names))) - set(labels))
    counts = matching.contingency[np.ix_(labels, [*matched, *rest])]
    totals = matching.contingency[labels].sum(axis=1, keepdims=True)
    return Confusion(
        shares=counts / np.maximum(totals, 1),
        rows=tuple(names[label] for label in labels),
        columns=(*matched, *rest),
        num_matched=len(matched),
        num_empty=int(np.count_nonzero(sizes == 0)),
        accuracy=matching.num_right / int(sizes.sum()),
    )


def pooled(shares: NDArray[np.float64], max_cells: int) -> tuple[NDArray[np.float64], int]:
    """Blocks of n × n cells with the largest share of each, n as small as fits ``max_cells`` a side; and n."""
    size = max(1, -(-max(shares.shape) // max_cells))
    height, width = (-(-side // size) * size for side in shares.shape)
    padded = np.zeros((height, width))
    padded[: shares.shape[0], : shares.shape[1]] = shares
    return padded.reshape(height // size, size, width // size, size).max(axis=(1, 3)), size


def draw_confusion(confusion: Confusion) -> Figure:
    """A square cell for each class and cluster, darker for more; of many classes, blocks of them."""
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    cells, block = pooled(confusion.shares, MAX_CELLS)
    cell = SIDE_INCHES / max(cells.shape)  # square, but no side of the matrix is under 1.6 inches
    height, width = max(cell * cells.shape[0], 1.6), max(cell * cells.shape[1], 3.2)
    longest = max(len(name) for name in confusion.rows) if len(confusion.rows) <= MAX_NAMED else 4
    left, right, top, bottom = 0.45 + 0.085 * min(longest, MAX_NAME), 0.95, 0.62, 0.52
    figure = Figure(figsize=(left + width + right, top + height + bottom))
    total_width, total_height = figure.get_size_inches()
    box = (left / total_width, bottom / total_height, width / total_width, height / total_height)
    axes = figure.add_axes(box)
    # By the root, so that a class spread over ten clusters is still seen.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(cells, cmap="Blues", norm=norm, interpolation="nearest", aspect="auto")
    bar_axes = figure.add_axes(((left + width + 0.12) / total_width, box[1], 0.14 / total_width, box[3]))
    bar = figure.colorbar(image, cax=bar_axes, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1", "5", "10", "25", "50", "100"])
    bar.set_label("% of the class" if block == 1 else "% of the class, largest of a block")
    bar.outline.set_linewidth(0.5)
    _frame(axes, confusion, block)
    if len(confusion.columns) <= MAX_WRITTEN and len(confusion.rows) <= MAX_WRITTEN:
        for (row, column), share in np.ndenumerate(confusion.shares):
            if share >= 0.005:  # what rounds to 0 % stays empty
                colour = PAPER if share > 0.3 else INK
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    title = f"{100 * confusion.accuracy:.1f} % right after matching"
    num_rest = len(confusion.columns) - confusion.num_matched
    notes = (
        f"{confusion.num_matched} of {len(confusion.rows)} classes have a cluster",
        f"{num_rest} clusters left over (right of the dashes)" if num_rest else "",
        f"{confusion.num_empty} empty" if confusion.num_empty else "",
        f"blocks of {block} × {block}" if block > 1 else "",
    )
    figure.text(0.08 / total_width, 1 - 0.13 / total_height, title, va="top", fontsize=10, weight="bold")
    figure.text(0.08 / total_width, 1 - 0.36 / total_height, "; ".join(filter(None, notes)), va="top", color=MUTED)
    return figure


def _frame(axes: Axes, confusion: Confusion, block: int) -> None:
    """Labels and ticks of both axes, and dashes where the matched classes and clusters end."""
    axes.set_xlabel("cluster, in the order of the classes matched with them")
    axes.set_ylabel("class")
    axes.tick_params(length=2)
    if len(confusion.rows) <= MAX_NAMED:
        axes.set_yticks(range(len(confusion.rows)), [shorten(name, MAX_NAME) for name in confusion.rows])
    else:
        _number_ticks(axes.yaxis, len(confusion.rows), block)
    if len(confusion.columns) <= MAX_NAMED:
        axes.set_xticks(range(len(confusion.columns)), [str(cluster) for cluster in confusion.columns], fontsize=8)
    else:
        _number_ticks(axes.xaxis, len(confusion.columns), block)
    end = confusion.num_matched / block - 0.5
    for line, number in ((axes.axvline, len(confusion.columns)), (axes.axhline, len(confusion.rows))):
        if confusion.num_matched < number:
            line(end, color=PAPER, linewidth=2)  # dark dashes on light, to be seen on every cell
            line(end, color=INK, linewidth=1, linestyle=(0, (4, 3)))


def _number_ticks(axis: Any, number: int, block: int) -> None:
    """Positions, counted from 1, in round steps."""
    step = next(step for step in (5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if number / step <= 10)
    positions = [1, *range(step, number + 1, step)]
    axis.set_ticks([(position - 1) // block for position in positions], [str(position) for position in positions])
