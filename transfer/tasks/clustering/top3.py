"""Some test images with their three most likely classes, as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.clustering.clusterer import Assigned
from transfer.tasks.clustering.matching import UNMATCHED, Matching
from transfer.tasks.clustering.picture_style import BLUE, DPI, INK, MUTED, ORANGE, RULE, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

NUM_LIKELY = 3
NUM_COLUMNS = 3
THUMBNAIL = 136  # pixels: nine incompressible ones are half a MiB
CELL_WIDTH, CELL_HEIGHT, SCORE_WIDTH = 3.0, 1.42, 0.5  # inches
MARGIN, TOP, BOTTOM = 0.14, 0.08, 0.34
MAX_NAME = 24

Verdict = Literal["right", "akin", "wrong"]
BARS: dict[Verdict, dict[str, Any]] = {
    "right": {"facecolor": BLUE},
    "akin": {"facecolor": "#D6ECF8", "edgecolor": BLUE, "hatch": "....."},
    "wrong": {"facecolor": "#F7DCC9", "edgecolor": ORANGE, "hatch": "/////"},
}


@dataclass(frozen=True)
class Likely:
    """One of an image's most likely clusters.

    Attributes:
        name: of the class that the cluster stands for; in parentheses its most frequent class, if the matching
            leaves the cluster over; "(empty cluster)" if no test image is in it.
        score: from 0 to 1.
        verdict: ``"right"`` if the cluster stands for the image's true class; ``"akin"`` if it is left over, and the
            true class is its most frequent one: that counts as wrong.
    """

    name: str
    score: float
    verdict: Verdict


@dataclass(frozen=True)
class Shown:
    """One image of the picture; ``right`` if its first guess is."""

    image: Image
    true_name: str
    likely: tuple[Likely, ...]

    @property
    def right(self) -> bool:
        return self.likely[0].verdict == "right"


def choose(
    test: LabelledImages,
    assigned: Assigned,
    matching: Matching,
    names: Sequence[str],
    *,
    number: int,
    rng: np.random.Generator,
) -> tuple[Shown, ...]:
    """Images drawn at random, in the order of the test set, with what is drawn beside them.

    Args:
        names: of the classes, in the order of the labels.
    """
    rows = np.sort(rng.choice(len(test), size=min(number, len(test)), replace=False))
    return tuple(
        Shown(
            image=test.read(int(row)),
            true_name=names[int(test.labels[row])],
            likely=tuple(
                _likely(int(cluster), float(score), int(test.labels[row]), matching, names)
                for cluster, score in zip(
                    assigned.ranked[row, :NUM_LIKELY], assigned.scores[row, :NUM_LIKELY], strict=True
                )
            ),
        )
        for row in rows
    )


def _likely(cluster: int, score: float, label: int, matching: Matching, names: Sequence[str]) -> Likely:
    stands_for, main = int(matching.label_of[cluster]), matching.main_label(cluster)
    if stands_for != UNMATCHED:
        return Likely(names[stands_for], score, "right" if stands_for == label else "wrong")
    if main == UNMATCHED:
        return Likely("(empty cluster)", score, "wrong")
    return Likely(f"({names[main]})", score, "akin" if main == label else "wrong")


def draw_top3(shown: Sequence[Shown], score_name: str) -> Figure:
    """A grid of images, each with its true class and three bars; ticks and crosses mark right and wrong.

    Args:
        score_name: what the bars show.
    """
    from matplotlib.figure import Figure

    num_rows = -(-len(shown) // NUM_COLUMNS)
    width = 2 * MARGIN + NUM_COLUMNS * CELL_WIDTH
    height = TOP + num_rows * CELL_HEIGHT + BOTTOM
    figure = Figure(figsize=(width, height), dpi=DPI)
    for index, item in enumerate(shown):
        row, column = divmod(index, NUM_COLUMNS)
        _draw_cell(figure, item, MARGIN + column * CELL_WIDTH, height - TOP - row * CELL_HEIGHT)
    note = f"Bars: {score_name}; solid where right. ✓ first is right, ✗ wrong."
    if any(likely.name.startswith("(") for item in shown for likely in item.likely):
        note += " (Parentheses: most frequent class of a cluster left over by the matching.)"
    figure.text(MARGIN / width, 0.11 / height, note, color=MUTED, fontsize=8, va="bottom")
    return figure


def _draw_cell(figure: Figure, item: Shown, left: float, top: float) -> None:
    """One image with its bars; ``left`` and ``top`` in inches from the lower left corner."""
    from PIL import ImageOps

    width, height = figure.get_size_inches()
    middle = ImageOps.fit(item.image, (THUMBNAIL, THUMBNAIL))  # bicubic
    framed = np.asarray(ImageOps.expand(ImageOps.crop(middle, 1), 1, fill=RULE))
    side = THUMBNAIL / DPI
    below = top - 0.26 - side
    figure.figimage(framed, xo=round(left * DPI), yo=round(below * DPI))
    mark, colour = ("✓", BLUE) if item.right else ("✗", ORANGE)
    figure.text(left / width, (top - 0.12) / height, mark, color=colour, va="center", fontsize=11, weight="bold")
    title = shorten(item.true_name, MAX_NAME + 7)
    figure.text((left + 0.17) / width, (top - 0.12) / height, title, va="center", fontsize=9.5, weight="bold")
    bars_left, bars_width = left + side + 0.12, CELL_WIDTH - side - 0.12 - SCORE_WIDTH
    axes = figure.add_axes((bars_left / width, below / height, bars_width / width, side / height))
    axes.set_xlim(0, 1)
    axes.set_ylim(NUM_LIKELY, 0)
    axes.axis("off")
    for place, likely in enumerate(item.likely):  # name and score above a bar on its track
        score = "<0.01" if 0 < likely.score < 0.005 else f"{likely.score:.2f}"
        weight = "bold" if likely.verdict == "right" else "normal"
        axes.barh(place + 0.7, 1, height=0.3, color="#F2F2F2", linewidth=0)
        axes.barh(place + 0.7, likely.score, height=0.3, linewidth=0, **BARS[likely.verdict])
        axes.plot([0, 0], [place + 0.55, place + 0.85], color=INK, linewidth=0.8)
        axes.text(0, place + 0.47, shorten(likely.name, MAX_NAME), va="bottom", fontsize=8, weight=weight)
        axes.text(1.04, place + 0.7, score, va="center", fontsize=8, color=MUTED)
