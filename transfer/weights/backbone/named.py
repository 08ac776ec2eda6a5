"""The way out for checkpoints of no known layout: the user names entry, prefix, and what is no part of the network.

Names are exact. Each key with the prefix belongs to the network or is dropped by a pattern; each pattern drops
something, and nothing that the network has.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transfer.reading import Reading
from transfer.weights.backbone.architecture import expected_shapes
from transfer.weights.backbone.families import Family, family_of
from transfer.weights.backbone.hugging_face import hugging_face_source
from transfer.weights.backbone.infer import infer_arch
from transfer.weights.backbone.marks import ASK_HEADS
from transfer.weights.backbone.types import Checkpoint, Network, Source
from twist_common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MAX_LEVELS = 8
MAX_SHOWN = 8


def named_state(
    checkpoint: Checkpoint, reading: Reading, where: str, arch: str | None
) -> tuple[dict[str, Any], Source, dict[str, str]]:
    """What the user says is the network, without the prefix; its row; and dropped key to reason.

    How images were scaled, and the heads of a ViT-S, are asked for.

    Args:
        arch: what the user says that it is.

    Raises:
        UserError: there is no such entry or prefix, a pattern drops nothing, or a part of the network.
    """
    state, prefix = _entry(checkpoint, reading, where), reading.prefix or ""
    under = {str(key).removeprefix(prefix): value for key, value in state.items() if str(key).startswith(prefix)}
    if not under or any(name.startswith(".") for name in under):
        more = next((f"{prefix}." for name in under if name.startswith(".")), None)
        how = f"give {more}" if more else f"they begin with {beginnings(state)}"
        raise UserError(f"{where} has no keys under --prefix {prefix}: {how}")
    dropped = {str(key): f"outside --prefix {prefix}" for key in state if not str(key).startswith(prefix)}
    for pattern in reading.drop:
        matching = fnmatch.filter(under, pattern)
        if not matching:
            raise UserError(f"{where}: --drop {pattern} fits none of its keys, which begin with {beginnings(under)}")
        dropped |= {prefix + name: f"--drop {pattern}" for name in matching}
    kept = {name: value for name, value in under.items() if prefix + name not in dropped}
    if not tensors_in(kept):
        raise UserError(f"{where} has no tensors in what {reading.place} leaves{_entries_listed(checkpoint)}")
    family = family_of(under, "")
    source = source_of(kept, family if family and kept.keys() >= set(family.others) else None, reading.place)
    own = source.student.prefix
    for among in (kept, under):  # what misses a part may show no network without it
        try:
            found = infer_arch(our_shapes(among, source, where), where, arch)
        except UserError:
            continue
        parts = expected_shapes(found)
        for name in under:
            if name not in kept and source.our_name(name.removeprefix(own)) in parts:
                reason = dropped[prefix + name]
                raise UserError(f"{where}: {reason} drops {name}, which is a part of a {found}: name less")
        break
    return kept, source, dropped


def source_of(state: Mapping[str, Any], family: Family | None, name: str = "") -> Source:
    """The row of a network that the user names, in its own code's words: those of its family, or Hugging Face's."""
    if (of_hugging_face := hugging_face_source(state)) is not None:
        return replace(of_hugging_face, name=name, ask_archs=ASK_HEADS)
    return Source(
        name=name,
        recognise=lambda c: False,
        student=Network(),
        naming=family.naming if family else None,
        values=family.values if family else None,
        preprocessing=None,
        ask_preprocessing="its layout is not known here",
        ask_archs=ASK_HEADS,
    )


def our_shapes(state: Mapping[str, Any], source: Source, where: str) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors in the source's words, by our keys; without what the source drops."""
    own, dropped = source.student.prefix, tuple(source.dropped)
    tensors = {
        source.our_name(name.removeprefix(own)): value
        for name, value in tensors_in(state).items()
        if not name.startswith(dropped)
    }
    tensors = source.values(tensors, where) if source.values else tensors
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _entry(checkpoint: Checkpoint, reading: Reading, where: str) -> Mapping[Any, Any]:
    if reading.entry is None:
        return checkpoint
    found = list(entries_called(checkpoint, reading.entry))
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{where} has {len(found)} entries that --entry {reading.entry} can mean: save one alone")
    raise UserError(f"{where} has no --entry {reading.entry}{_entries_listed(checkpoint)}")


def _entries_listed(checkpoint: Checkpoint) -> str:
    numbers = {name: len(tensors_in(state)) for name, state in entries_in(checkpoint).items() if name is not None}
    known = [f"{name} ({numbers[name]})" for name in sorted(numbers, key=lambda each: -numbers[each])]
    if not known:
        return ": leave --entry out, the file is a state dict"
    there = ", ".join(known[:MAX_SHOWN]) + (", …" if len(known) > MAX_SHOWN else "")
    return f": the entries with tensors, and how many, are {there}"


def entries_called(held: Any, name: str) -> Iterator[Mapping[Any, Any]]:
    """Every entry that the name, with dots between levels, can mean."""
    for key, value in _inside(held):
        if key == name and isinstance(value, Mapping):
            yield value
        elif name.startswith(f"{key}."):
            yield from entries_called(value, name.removeprefix(f"{key}."))


def entries_in(checkpoint: Checkpoint) -> dict[str | None, Mapping[Any, Any]]:
    """Every mapping with tensors in it, by the name that ``--entry`` takes; None is the checkpoint itself."""
    found: dict[str | None, Mapping[Any, Any]] = {}
    seen = set()

    def look(held: Any, name: str | None, level: int) -> None:
        if id(held) in seen or level > MAX_LEVELS:
            return
        seen.add(id(held))
        if isinstance(held, Mapping) and tensors_in(held):
            found[name] = held
        for key, value in _inside(held):
            if isinstance(value, Mapping | list | tuple):
                look(value, key if name is None else f"{name}.{key}", level + 1)

    look(checkpoint, None, 0)
    return found


def _inside(held: Any) -> Iterator[tuple[str, Any]]:
    pairs = held.items() if isinstance(held, Mapping) else enumerate(held) if isinstance(held, list | tuple) else ()
    return ((str(key), value) for key, value in pairs)


def tensors_in(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors with a shape that stand in a mapping, by their keys."""
    import torch

    return {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor) and not value.is_nested}


def beginnings(state: Mapping[Any, Any]) -> str:
    """The first words of the keys, for messages; of those that all have the first word in common, what comes then."""
    words = [str(key).split(".") for key in state]
    depth = 1
    while len({tuple(each[:depth]) for each in words}) == 1 and all(len(each) > depth + 1 for each in words):
        depth += 1
    known = list(dict.fromkeys(".".join(each[:depth]) + "." * (len(each) > depth) for each in words))
    return ", ".join(repr(name[:60])[1:-1] for name in known[:MAX_SHOWN]) + (", …" if len(known) > MAX_SHOWN else "")
