"""``key=value`` overrides from the command line, checked by name and by type."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from twist_common.errors import UserError, unknown_name

Config = TypeVar("Config")


def split(override: str) -> tuple[str, str]:
    """``"optim.lr=0.1"`` to ``("optim.lr", "0.1")``.

    Raises:
        UserError: there is no ``=`` in it.
    """
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"override {override!r} is not of the form key=value, e.g. optim.lr=0.1")
    return key.strip(), value.strip()


def apply(config: Config, overrides: Sequence[str]) -> Config:
    """A copy of a (nested) dataclass with the overrides set, each parsed by its field's type.

    Args:
        config: a dataclass instance; nested dataclasses are reached with dots.
        overrides: strings such as ``"epochs=3"``, ``"optim.lr=0.1"``, ``"crops.scale=0.4,1.0"``.

    Raises:
        UserError: an unknown name (with the nearest one), or a value of the wrong type.
    """
    for override in overrides:
        key, value = split(override)
        config = _replace(config, key.split("."), value, key)
    return config


def settings(config: Any, prefix: str = "") -> Iterator[str]:
    """Every setting of a (nested) dataclass as :func:`apply` takes it, with its value: ``"optim.lr=0.1"``."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from settings(value, f"{prefix}{field.name}.")
        else:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            yield f"{prefix}{field.name}={text.lower() if value is None or isinstance(value, bool) else text}"


def _replace(config: Any, path: list[str], value: str, key: str) -> Any:
    names = [field.name for field in dataclasses.fields(config)]
    if path[0] not in names:
        raise unknown_name(f"override (in {key!r})", path[0], names)
    current = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(current):
            raise UserError(f"override {key!r}: {path[0]!r} has no fields of its own")
        return dataclasses.replace(config, **{path[0]: _replace(current, path[1:], value, key)})
    field_type = typing.get_type_hints(type(config))[path[0]]
    if dataclasses.is_dataclass(field_type):
        inner = ", ".join(f"{key}.{field.name}" for field in dataclasses.fields(field_type))
        raise UserError(f"override {key!r} names a group of settings: set one of {inner}")
    return dataclasses.replace(config, **{path[0]: parse(value, field_type, key)})


def parse(text: str, wanted: Any, key: str) -> Any:
    """``text`` as a value of type ``wanted`` (bool, int, float, str, Optional, Literal, tuple of these).

    Raises:
        UserError: it is not one.
    """
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in arguments:
            return None
        return parse(text, next(argument for argument in arguments if argument is not type(None)), key)
    if origin is typing.Literal:
        if text not in arguments:
            raise unknown_name(f"value of {key!r}", text, arguments)
        return text
    if origin is tuple:
        parts = [part for part in text.strip("()[]").split(",") if part]
        kinds = [arguments[0]] * len(parts) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(parts):
            raise UserError(f"override {key}={text}: expected {len(kinds)} values separated by commas")
        return tuple(parse(part.strip(), kind, key) for part, kind in zip(parts, kinds, strict=True))
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"override {key}={text}: expected true or false")
        return text.lower() == "true"
    try:
        return wanted(text)
    except ValueError:
        raise UserError(f"override {key}={text}: expected a value of type {wanted.__name__}") from None
