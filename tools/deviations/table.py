"""The tables of ``docs/deviations.md``: what differs first, then every setting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tools.deviations import classification, depth, detection, pretraining, segmentation
from tools.deviations.rows import NotStated, Setting, Side, same
from tools.deviations.sources import SOURCES

SIDES = (*detection.SIDES, *segmentation.SIDES, *depth.SIDES, *classification.SIDES, *pretraining.SIDES)


def deviation_tables() -> str:
    """For each benchmark and recipe what differs with its reason, then all that is the same."""
    return "\n\n".join(part for side in SIDES for part in _parts(side))


def _parts(side: Side) -> Iterable[str]:
    ours = side.ours()
    alike = [setting for setting in side.settings if same(setting.official, ours[setting.name])]
    apart = [setting for setting in side.settings if setting not in alike]
    yield f"## `{side.name}`\n\n{len(alike)} of {len(side.settings)} settings are the same."
    if apart:
        lines = [f"{_start(each)} | {text(ours[each.name])} | {each.why} | {_source(each)} |" for each in apart]
        yield "\n".join(["| Differs | Official | Ours | Why | Source |", "|---|---|---|---|---|", *lines])
    lines = [f"{_start(each)} | {_source(each)} |" for each in alike]
    yield "\n".join(["| The same | Official and ours | Source |", "|---|---|---|", *lines])


def _start(setting: Setting) -> str:
    return f"| `{setting.name}` | {text(setting.official)}"


def _source(setting: Setting) -> str:
    label, address = SOURCES[setting.source]
    return f"[{label}]({address})"


def text(value: Any) -> str:
    """A value as the table shows it."""
    if isinstance(value, NotStated):
        return value.what
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) if not any(isinstance(each, list | tuple) for each in value) else str(value)
    if isinstance(value, float):
        return f"{value:.7g}"
    return str(value)
