"""Pre-training runs: their curves, from the ``metrics.jsonl`` that each writes, and how their weights were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from twist_common.errors import UserError
from twist_common.strict_json import loads, number, read_object, reason, text, whole

FORMAT = "twist-transfer pre-training curves"
VERSION = 1
MAX_POINTS = 150  # of a curve: more than a panel is wide

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
    """A run from its own files. A curve is thinned to evenly chosen logged points, its first and last among them.

    Args:
        lines: of ``metrics.jsonl``.
        note: of ``finished.json``; None for a run that is not finished.

    Raises:
        UserError: one of them is not what such a run writes.
    """
    curves: dict[str, list[Point]] = {}
    try:
        for line in lines.decode("utf-8").rpartition("\n")[0].splitlines():  # a kill may have cut the last line
            logged = loads(line)
            step = whole(logged, "step")
            for name, value in logged.items():
                if name not in ("kind", "step", "epoch"):
                    curves.setdefault(name, []).append((step, number(value, name)))
        facts = _facts(loads(note)) if note else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where} does not hold the curves of a pre-training run ({reason(error)}): repair it, or move it elsewhere"
        ) from None
    for name, points in curves.items():
        if len(points) > MAX_POINTS:
            last = len(points) - 1
            curves[name] = [points[round(index * last / (MAX_POINTS - 1))] for index in range(MAX_POINTS)]
    return Pretraining(PurePosixPath(where).parent.name, facts, {name: tuple(each) for name, each in curves.items()})


def read_archived(content: bytes, where: str) -> Pretraining:
    """A run as :meth:`Pretraining.to_bytes` wrote it. Raises UserError if it did not."""

    def build(raw: dict[str, Any]) -> Pretraining:
        curves = {
            name: tuple((whole({"step": step}, "step"), number(value, name)) for step, value in points)
            for name, points in raw["curves"].items()
        }
        return Pretraining(text(raw, "label"), _facts(raw["facts"]) if raw["facts"] else {}, curves)

    return read_object(content, where, form=FORMAT, version=VERSION, build=build)


def _facts(note: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a finished run; notes that predate a field lack it."""
    facts: dict[str, Any] = {name: text(note, name) for name in ("recipe", "recipe_sha256")}
    facts |= {name: whole(note, name) for name in ("epochs", "num_local_crops") if name in note}
    return facts | ({"backbone_sha256": text(note, "backbone_sha256")} if "backbone_sha256" in note else {})
