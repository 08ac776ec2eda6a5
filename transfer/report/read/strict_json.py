"""JSON files written by others, read with every field checked; anything that does not fit is an error."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from common.errors import UserError

T = TypeVar("T")


def loads(text: str) -> Any:
    """Parses JSON as the standard defines it, without NaN and infinities. Raises ValueError."""

    def refuse(name: str) -> float:
        raise ValueError(f"{name} is not a number")

    return json.loads(text, parse_constant=refuse)


def read_object(content: bytes, where: str, *, form: str, version: int, build: Callable[[dict[str, Any]], T]) -> T:
    """What ``build`` makes of the object of a file that says ``{"format": form, "version": version, ...}``.

    Raises:
        UserError: the file is not such an object, or ``build`` raised because a field is missing or wrong.
    """
    try:
        raw = loads(content.decode("utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("not an object")
        if (raw.get("format"), raw.get("version")) != (form, version):
            raise ValueError(f"format {raw.get('format')!r} version {raw.get('version')!r}")
        return build(raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{where} is not a file of {form!r} ({reason}): write it again, or move it away") from None


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
        raise ValueError(f"{name} is {value!r}, not {what}")
    return value
