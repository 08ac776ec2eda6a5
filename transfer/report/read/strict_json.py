"""Files that others wrote, read with every field checked: what does not fit is an error that names the file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from common.errors import UserError


def load_object(content: bytes, where: str, *, form: str, version: int) -> dict[str, Any]:
    """The object of a file that says ``{"format": form, "version": version, ...}``.

    Raises:
        UserError: it is none, or holds what is no number.
    """
    try:
        raw = json.loads(content.decode("utf-8"), parse_constant=_refuse)
        if not isinstance(raw, dict):
            raise ValueError("no object")
        if (raw.get("format"), raw.get("version")) != (form, version):
            raise ValueError(f"format {raw.get('format')!r} version {raw.get('version')!r}")
        return raw
    except ValueError as error:
        raise unreadable(where, form, error) from None


def unreadable(where: str, form: str, error: Exception) -> UserError:
    """The error for a file that is not what it says."""
    told = f"no field {error}" if isinstance(error, KeyError) else str(error)
    return UserError(f"{where} is not a file of {form!r} ({told}): write it again, or move it away")


def whole(raw: Mapping[str, Any], name: str) -> int:
    """A count. Raises ValueError, KeyError."""
    value = raw[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}, not a count")
    return value


def text(raw: Mapping[str, Any], name: str) -> str:
    """A text. Raises ValueError, KeyError."""
    if not isinstance(raw[name], str):
        raise ValueError(f"{name} is {raw[name]!r}, not a text")
    return str(raw[name])


def texts(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts. Raises ValueError, KeyError."""
    if not isinstance(raw[name], list) or not all(isinstance(each, str) for each in raw[name]):
        raise ValueError(f"{name} is {raw[name]!r}, not a list of texts")
    return tuple(raw[name])


def numbers(raw: Mapping[str, Any], name: str) -> dict[str, float]:
    """Name to finite number. Raises ValueError, KeyError."""
    if not isinstance(raw[name], dict):
        raise ValueError(f"{name} is {raw[name]!r}, not an object of numbers")
    return {key: number(value, f"{name} {key}") for key, value in raw[name].items()}


def number(value: Any, name: str) -> float:
    """A finite number. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number")
