"""The grid of learning rates and weight decays: its points, and their scores in files that outlive a killed trial."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

from common.files import sha256_text, write_text
from transfer.tasks.classification.sgd_protocols import GridProtocol


@dataclass(frozen=True)
class Point:
    """A point of the grid; ``weight_decay`` as the protocol has it, not yet divided by the learning rate."""

    lr: float
    weight_decay: float

    @property
    def name(self) -> str:
        return f"lr-{self.lr:.3g}_wd-{self.weight_decay:.3g}"


Scores = dict[Point, float | None]  # None: the training diverged


def grid_points(protocol: GridProtocol) -> list[Point]:
    """Every learning rate with every weight decay."""
    return [Point(lr, decay) for lr, decay in itertools.product(protocol.lrs, protocol.weight_decays)]


def best_point(scores: Scores) -> Point:
    """The point of the highest score; of equals, the first.

    Raises:
        FloatingPointError: all of them diverged.
    """
    finished = {point: score for point, score in scores.items() if score is not None}
    if not finished:
        raise FloatingPointError(f"all {len(scores)} points of the grid diverged: the learning rates are too high")
    return max(finished, key=lambda point: finished[point])


class ScoreFiles:
    """The scores of a grid's points, a small file each.

    Args:
        folder: of the files.
        identity: text that determines the scores; files of another identity are not read.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = sha256_text(identity)

    def load(self, point: Point) -> tuple[bool, float | None]:
        """Whether the point has been scored, and its score."""
        path = self._path(point)
        if not path.is_file():
            return False, None
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["identity"] == self._identity, content["score"]

    def save(self, point: Point, score: float | None) -> None:
        """Writes the score whole or not at all."""
        assert score is None or math.isfinite(score), f"{point.name} scored {score}"
        write_text(self._path(point), json.dumps({"identity": self._identity, "score": score}) + "\n")

    def _path(self, point: Point) -> Path:
        return self._folder / f"{point.name}.json"
