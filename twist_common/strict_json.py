"""JSON written by others, read in bounded time and memory with every field checked; what does not fit is an error."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import reprlib
import stat
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from twist_common.errors import UserError, is_not_the_files

T = TypeVar("T")

MAX_BYTES = 64 << 20  # of a file
MAX_VALUES = 1_000_000  # of a file: a value takes up to 100 times its text in memory
MAX_DEPTH = 32  # the proof of a conversion, the deepest part of a record, has 4
MAX_NUMBER = 2**63 - 1
REASON_CHARACTERS = 300


def read_bounded(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The file's content. Raises UserError if it cannot be read, is larger, or is no plain file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise UserError(f"cannot read {path} (not a plain file): move it away, or name another folder")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        if is_not_the_files(error):
            raise
        raise UserError(f"cannot read {path} ({error.strerror}): repair it or name another folder") from None
    if len(content) > max_bytes:
        raise UserError(f"cannot read {path} (more than {max_bytes >> 20} MiB): move it away, or name another folder")
    return content


def loads(content: str | bytes) -> Any:
    """Parses JSON as the standard defines it: no NaN or infinity, no name twice, only what UTF-8 can hold.

    Raises:
        ValueError: it is not that, or has more values, deeper ones or larger numbers than any file of ours.
    """

    def refuse(name: str) -> float:
        raise ValueError(f"{name} is not a number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the name {brief(next(each for each in names if names.count(each) > 1))} is there twice")
        return found

    text = content.decode("utf-8") if isinstance(content, bytes) else content
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    try:
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _check_values(value)
    return value


def _check_values(value: Any) -> None:
    waiting = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if isinstance(each, dict | list):
            if depth > MAX_DEPTH:
                raise ValueError(f"nested more than {MAX_DEPTH} deep")
            inner = [*each, *each.values()] if isinstance(each, dict) else each
            waiting += [(one, depth + 1) for one in inner]
        elif isinstance(each, str):
            each.encode()  # refuses halves of surrogate pairs, which no file can hold
        elif isinstance(each, int | float) and not -MAX_NUMBER <= each <= MAX_NUMBER:  # 1e999 is read as infinity
            raise ValueError(f"{brief(each)} is not a number that a file of ours holds")


def typed(value: Any, hint: Any, name: str) -> Any:
    """What the JSON value is as a type: dataclasses are made of objects, all else is only checked.

    A bool is no number here, and an object has exactly the fields of its dataclass (those with a default may be left
    out).

    Args:
        name: of the value, for the error.

    Raises:
        ValueError: it is not of this type.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):  # with None
        other = next(each for each in inner if each is not types.NoneType)
        return None if value is None else typed(value, other, name)
    if origin is Literal:
        return _checked(value, name, value in inner, " or ".join(map(str, inner)))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        found = _checked(value, name, isinstance(value, dict), "an object")
        hints = _hints(hint)
        if unknown := found.keys() - hints.keys():
            raise ValueError(f"{name} has an unknown field {brief(min(unknown))}")
        required = {each.name for each in dataclasses.fields(hint) if _is_required(each)}
        if missing := required - found.keys():
            raise ValueError(f"{name} has no {min(missing)}")
        return hint(**{key: typed(each, hints[key], key) for key, each in found.items()})
    if origin is list:
        items = _checked(value, name, isinstance(value, list), "a list")
        return [typed(each, inner[0], f"{name} {index}") for index, each in enumerate(items)]
    if origin is dict:
        entries = _checked(value, name, isinstance(value, dict), "an object")
        return {key: typed(each, inner[1], f"{name} {brief(key)}") for key, each in entries.items()}
    accepted, what = {
        str: ((str,), "a text"),
        bool: ((bool,), "true or false"),
        int: ((int,), "a whole number"),
        float: ((int, float), "a number"),
    }[hint]
    return _checked(value, name, type(value) in accepted, what)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def brief(value: object) -> str:
    """A value for a message: quoted, and cut where it is long."""
    return reprlib.repr(value)


def reason(error: Exception) -> str:
    """What an error says about a file, cut where it is long."""
    words = f"no field {error}" if isinstance(error, KeyError) else str(error)
    words = " ".join(words.encode(errors="replace").decode().split())
    return words if len(words) <= REASON_CHARACTERS else f"{words[:REASON_CHARACTERS]}…"


def read_object(content: bytes, where: str, *, form: str, version: int, build: Callable[[dict[str, Any]], T]) -> T:
    """What ``build`` makes of the object of a file that says ``{"format": form, "version": version, ...}``.

    Raises:
        UserError: the file is not such an object, or ``build`` raised because a field is missing or wrong.
    """
    try:
        raw = loads(content)
        if not isinstance(raw, dict):
            raise ValueError("not an object")
        if (raw.get("format"), raw.get("version")) != (form, version):
            raise ValueError(f"format {brief(raw.get('format'))} version {brief(raw.get('version'))}")
        return build(raw)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"{where} is not a file of {form!r} ({reason(error)}): write it again, or move it away"
        ) from None


def whole(raw: Mapping[str, Any], name: str) -> int:
    """A count. Raises ValueError, KeyError."""
    value = raw[name]
    return int(_checked(value, name, type(value) is int and value >= 0, "a count"))


def text(raw: Mapping[str, Any], name: str) -> str:
    """A text. Raises ValueError, KeyError."""
    return str(_checked(raw[name], name, isinstance(raw[name], str), "a text"))


def texts(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts. Raises ValueError, KeyError."""
    value = raw[name]
    holds = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return tuple(_checked(value, name, holds, "a list of texts"))


def numbers(raw: Mapping[str, Any], name: str) -> dict[str, float]:
    """Name to finite number. Raises ValueError, KeyError."""
    found = _checked(raw[name], name, isinstance(raw[name], dict), "an object of numbers")
    return {key: number(value, f"{name} {key}") for key, value in found.items()}


def number(value: Any, name: str) -> float:
    """A finite number. Raises ValueError."""
    return float(_checked(value, name, type(value) in (int, float) and math.isfinite(value), "a number"))


def _checked(value: Any, name: str, holds: bool, what: str) -> Any:
    if not holds:
        raise ValueError(f"{name} is {brief(value)}, not {what}")
    return value
