"""What a line of the table is, and which lines are wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NotStated:
    """The official side says nothing, or not in the form of a value."""

    what: str = "not stated"


NOT_STATED = NotStated()


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: as our config has it, dots between levels.
        official: the official value, in the form of our config's.
        source: key of :data:`tools.deviations.sources.SOURCES`.
        why: the reason where ours differs; empty where both are the same.
    """

    name: str
    official: Any
    source: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Side:
    """The settings of one benchmark or recipe.

    Attributes:
        name: of the benchmark or the recipe.
        ours: reads every setting of ours by its name.
        settings: the lines.
        no_protocol: beginnings of names that change no figure, or that only this suite has.
    """

    name: str
    ours: Callable[[], Mapping[str, Any]]
    settings: tuple[Setting, ...]
    no_protocol: tuple[str, ...] = field(default=())


def fields_of(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a dataclass, and of those in it, by its name with dots between levels."""
    for field_ in dataclasses.fields(value):
        each, place = getattr(value, field_.name), f"{name}{field_.name}"
        if dataclasses.is_dataclass(each):
            yield from fields_of(each, f"{place}.")
        else:
            yield place, each


def plain(value: Any) -> Any:
    """Tuples as lists, however deep."""
    return [plain(each) for each in value] if isinstance(value, tuple | list) else value


def same(official: Any, ours: Any) -> bool:
    """Whether two values are equal; a calculated float may differ by rounding."""
    if isinstance(official, float | int) and isinstance(ours, float | int):
        return isinstance(official, bool) == isinstance(ours, bool) and math.isclose(official, ours, rel_tol=1e-9)
    return bool(plain(official) == plain(ours))


def faults(side: Side) -> list[str]:
    """What is wrong with the lines of a benchmark or recipe, a sentence each."""
    ours, found = side.ours(), []
    for setting in side.settings:
        where = f"{side.name}: {setting.name}"
        if setting.name not in ours:
            found.append(f"{where} is not a setting of ours")
        elif same(setting.official, ours[setting.name]) and setting.why:
            found.append(f"{where} is the same and has a reason to differ")
        elif not same(setting.official, ours[setting.name]) and not setting.why:
            found.append(f"{where} is {ours[setting.name]!r}, not {setting.official!r}, and has no reason")
    names = [setting.name for setting in side.settings]
    found += [
        f"{side.name}: {name} has two lines" for name in sorted({name for name in names if names.count(name) > 1})
    ]
    missing = [name for name in ours if name not in names and not name.startswith(side.no_protocol)]
    return found + [f"{side.name}: {name} has no line" for name in missing]
