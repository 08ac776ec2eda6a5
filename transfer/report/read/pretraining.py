"""Pre-training runs: their curves, from the ``metrics.jsonl`` that each leaves, and what its weights went through."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from common.errors import UserError
from transfer.report.read.strict_json import load_object, number, text, unreadable, whole

CURVES_FILE = "metrics.jsonl"
NOTE_FILE = "finished.json"
ARCHIVED_FILE = "pretraining.json"
FORMAT = "twist-transfer pre-training curves"
VERSION = 1
MAX_POINTS = 150  # of a curve: more than the width of a panel shows

Point = tuple[int, float]


@dataclass(frozen=True)
class Pretraining:
    """One run.

    Attributes:
        label: name of its folder.
        facts: of a finished run: ``recipe``, ``recipe_sha256``, ``epochs``, ``num_local_crops``, ``backbone_sha256``.
        curves: name of a statistic to (step, value) of at most :data:`MAX_POINTS` logged steps.
    """

    label: str
    facts: dict[str, Any]
    curves: dict[str, tuple[Point, ...]]

    @property
    def last_step(self) -> int:
        return max((points[-1][0] for points in self.curves.values()), default=0)

    def to_bytes(self) -> bytes:
        """The run as archives hold it."""
        content = {"format": FORMAT, "version": VERSION, "label": self.label, "facts": self.facts}
        return (json.dumps(content | {"curves": self.curves}, allow_nan=False) + "\n").encode()


def read_run(lines: bytes, note: bytes | None, where: str) -> Pretraining:
    """A run from its own files.

    Args:
        lines: of ``metrics.jsonl``.
        note: of ``finished.json``; None of a run that is not finished.

    Raises:
        UserError: one of them is not what such a run writes.
    """
    try:
        curves = _curves(json.loads(line) for line in _whole_lines(lines))
        facts = _facts(json.loads(note)) if note else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where} does not hold the curves of a pre-training run ({error}): mend it, or move it out of the folders"
        ) from None
    return Pretraining(PurePosixPath(where).parent.name, facts, curves)


def read_archived(content: bytes, where: str) -> Pretraining:
    """A run as :meth:`Pretraining.to_bytes` wrote it. Raises UserError if it did not."""
    raw = load_object(content, where, form=FORMAT, version=VERSION)
    try:
        curves = {
            name: tuple((whole({"step": step}, "step"), number(value, name)) for step, value in points)
            for name, points in raw["curves"].items()
        }
        return Pretraining(text(raw, "label"), _facts(raw["facts"]) if raw["facts"] else {}, curves)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(where, FORMAT, error) from None


def _whole_lines(content: bytes) -> list[str]:
    return content.decode("utf-8").rpartition("\n")[0].splitlines()  # a kill may have cut the last line


def _curves(lines: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Point, ...]]:
    found: dict[str, list[Point]] = {}
    for line in lines:
        step = whole(line, "step")
        for name, value in line.items():
            if name not in ("kind", "step", "epoch"):
                found.setdefault(name, []).append((step, number(value, name)))
    return {name: _thinned(points) for name, points in found.items()}


def _thinned(points: list[Point]) -> tuple[Point, ...]:
    """Evenly chosen logged points, the first and the last among them: no value that was not logged."""
    if len(points) <= MAX_POINTS:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(index * last / (MAX_POINTS - 1))] for index in range(MAX_POINTS))


def _facts(note: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the run; a note from before a field leaves it out."""
    facts: dict[str, Any] = {name: text(note, name) for name in ("recipe", "recipe_sha256")}
    facts |= {name: whole(note, name) for name in ("epochs", "num_local_crops") if name in note}
    return facts | ({"backbone_sha256": text(note, "backbone_sha256")} if "backbone_sha256" in note else {})
