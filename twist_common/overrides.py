"""``key=value`` overrides from the command line, checked by name and by type."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from twist_common.errors import UserError, unknown_name

Config = TypeVar("Config")
# Settings of pre-training, the tasks and their frameworks for which 0 would mean to train or score nothing.
AT_LEAST_ONE = (
    "epochs", "steps", "grid_steps", "max_iter", "batch_size", "test_batch_size", "num_neighbors", "SOLVER.MAX_ITER",
    "SOLVER.IMS_PER_BATCH", "train_cfg.max_iters", "train_dataloader.batch_size", "test_dataloader.batch_size",
)  # fmt: skip
MAY_BE_NEGATIVE = (".interval",)  # MMEngine's -1: never


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
    known = [text.partition("=")[0] for text in settings(config)]
    for override in overrides:
        key, value = split(override)
        meant = [each for each in known if each.endswith(f".{key}")]
        if meant and key not in known:
            raise UserError(f"unknown setting {key!r}: did you mean {' or '.join(map(repr, meant))}?")
        config = _replace(config, key.split("."), value, key)
    return config


def last_of_each(overrides: Sequence[str]) -> tuple[str, ...]:
    """The last override of each setting."""
    return tuple({override.partition("=")[0].strip(): override for override in overrides}.values())


def check_once(overrides: Sequence[str]) -> None:
    """Raises UserError if a setting is given twice, since it is unclear which value is meant."""
    keys = [override.partition("=")[0].strip() for override in overrides]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(f"the setting {twice} is given twice: leave one of them out")


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
        group = key.removesuffix(".".join(path))
        raise unknown_name("setting", f"{group}{path[0]}", [f"{group}{name}" for name in names])
    current = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(current):
            raise UserError(f"override {key!r}: {path[0]!r} has no fields of its own")
        return dataclasses.replace(config, **{path[0]: _replace(current, path[1:], value, key)})
    field_type = typing.get_type_hints(type(config))[path[0]]
    if dataclasses.is_dataclass(field_type):
        inner = ", ".join(f"{key}.{field.name}" for field in dataclasses.fields(field_type))
        raise UserError(f"override {key!r} names a group of settings: set one of {inner}")
    parsed = parse(value, field_type, key)
    check_numbers(key, 0 if current is None else current, parsed)
    return dataclasses.replace(config, **{path[0]: parsed})


def check_numbers(key: str, before: Any, after: Any) -> None:
    """Refuses numbers that make no sense for any setting of this kind.

    Args:
        before: the value of the protocol or recipe; if it is negative or None, the new value may be negative.

    Raises:
        UserError: a number is not finite, is negative although it may not be, or is below 1 so that nothing would be
            trained.
    """
    if any(not math.isfinite(number) for number in _numbers(after)):
        raise UserError(f"{key} is {after}, it has to be finite")
    if key in AT_LEAST_ONE and any(number < 1 for number in _numbers(after)):
        raise UserError(f"{key} is {after}, it must be at least 1")
    is_free = before is None or key.endswith(MAY_BE_NEGATIVE) or any(number < 0 for number in _numbers(before))
    if not is_free and any(number < 0 for number in _numbers(after)):
        raise UserError(f"{key} is {after}, it cannot be negative")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _numbers(each)


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
