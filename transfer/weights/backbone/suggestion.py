"""The command that a refusal ends with: the way out (:mod:`transfer.weights.backbone.named`), filled in.

Nothing is read by it: whoever types the command says that it is right, and the names and shapes are checked as ever.
What no rule shows is left to be filled in, and a key that may be a part of the network is not suggested for dropping.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from transfer.reading import NOTHING_SAID, Reading, spaced
from transfer.weights.backbone.architecture import COUNTER, RESNETS, Shape, canonical, expected_shapes, get
from transfer.weights.backbone.beside import read_beside
from transfer.weights.backbone.generic import DROPPED
from transfer.weights.backbone.infer import infer_arch
from transfer.weights.backbone.marks import ASK_HEADS
from transfer.weights.backbone.named import entries_called, entries_in, tensors_in
from transfer.weights.backbone.timm_network import TimmSpec
from transfer.weights.backbone.types import Checkpoint

COMMAND = "tools/convert.sh"
UNKNOWN = "NAME"
SHARE = 4  # a network has at least a quarter of the tensors of the entry that it is in


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a network may be.

    Attributes:
        arch: None where names and shapes do not show it.
        drop: patterns of what is beside the network.
        unclear: keys under the prefix that may be a part of the network, or not.
    """

    entry: str | None
    prefix: str
    num_tensors: int
    arch: str | None
    drop: tuple[str, ...]
    unclear: tuple[str, ...]

    @property
    def name(self) -> str:
        return Reading(entry=self.entry, prefix=self.prefix).place


def way_out(checkpoint: Checkpoint, where: str, arch: str | None, reading: Reading = NOTHING_SAID) -> str:
    """The end of a refusal's sentence, from its colon on; empty where nothing in the checkpoint takes images.

    Args:
        arch, reading: what the user has said already.
    """
    said = arch or _says_arch(checkpoint)
    places = [
        place
        for entry, state in entries_in(checkpoint).items()
        if reading.entry in (None, entry) and (entry is None or len(list(entries_called(checkpoint, entry))) == 1)
        for place in _places(entry, state, said, reading.prefix)
    ]
    if not places:
        return ""
    best = max(places, key=lambda place: (place.arch is not None, place.num_tensors))
    named = best.arch if best.arch not in (None, *ASK_HEADS) or best.arch == said else None
    command = " ".join(_options(best, named, where, reading))
    if not command.isprintable():
        return ": its names cannot be typed, save its backbone's state dict alone"
    remarks = [f"{other.name or 'the file itself'} has one too" for other in places if _is_twin(other, best)][:2]
    if best.unclear:
        remarks.append(f"--drop {shlex.quote(best.unclear[0])} too, but only if it is no part of the network")
    if named is None:
        remarks.append(f"{UNKNOWN} is a network here or in timm with these names of tensors")
    remark = f" ({'; '.join(remarks)})" if remarks else ""
    return f": say where the network is and how images were scaled{remark}, as every command takes it: {command}"


def _is_twin(other: _Place, best: _Place) -> bool:
    return other is not best and (other.arch, other.num_tensors) == (best.arch, best.num_tensors)


def _options(place: _Place, arch: str | None, where: str, reading: Reading) -> Iterator[str]:
    yield f"{COMMAND} {shlex.quote(where)}"
    if place_and_drop := Reading(entry=place.entry, prefix=place.prefix, drop=(*reading.drop, *place.drop)).place:
        yield place_and_drop
    yield f"--arch {arch or UNKNOWN}"
    if reading.mean is not None and reading.std is not None:
        yield f"--mean {spaced(reading.mean)} --std {spaced(reading.std)}"
        return
    try:
        beside = read_beside(Path(where), arch)
    except UserError:
        beside = None
    if beside is None or beside.preprocessing is None:
        yield "--mean R G B --std R G B"


def _says_arch(checkpoint: Checkpoint) -> str | None:
    """What its settings call the network (``arch`` in most codes, ``model`` in timm's and MAE's), if there is such a
    network; whether it is the one is for the tensors to show."""
    args = checkpoint.get("args")
    settings = args if isinstance(args, Mapping) else getattr(args, "__dict__", {})
    for said in (checkpoint.get("arch"), settings.get("arch"), settings.get("model")):
        if isinstance(said, str):
            try:
                return canonical(said)
            except UserError:
                continue
    return None


def _places(entry: str | None, state: Mapping[Any, Any], said: str | None, prefix: str | None) -> Iterator[_Place]:
    """Every prefix under which a whole known network is; where there is none, the longest that most tensors have."""
    shapes = {key: tuple(value.shape) for key, value in tensors_in(state).items()}
    takes_images = [key for key, shape in shapes.items() if len(shape) == 4 and shape[1] == 3]
    number = 0
    for each in dict.fromkeys(each for key in takes_images for each in _prefixes(key) if prefix in (None, each)):
        under = {key.removeprefix(each): shape for key, shape in shapes.items() if key.startswith(each)}
        if (arch := _arch_of(under, said)) is not None:
            number += 1
            drop, unclear = _beside(_names(state, each), arch, under)
            shown = None if unclear else arch
            yield _Place(
                entry=entry, prefix=each, num_tensors=len(under), arch=shown, drop=tuple(drop), unclear=tuple(unclear)
            )
    if number == 0 and takes_images:
        counts = {each: sum(key.startswith(each) for key in shapes) for each in _prefixes(takes_images[0])}
        each = [each for each in counts if counts[each] * SHARE >= len(shapes) and prefix in (None, each)][-1]
        drop = dict.fromkeys(_pattern(name, 1) for name in _names(state, each) if name.split(".")[0] in DROPPED)
        yield _Place(entry=entry, prefix=each, num_tensors=counts[each], arch=None, drop=tuple(drop), unclear=())


def _names(state: Mapping[Any, Any], prefix: str) -> list[str]:
    return [str(key).removeprefix(prefix) for key in state if str(key).startswith(prefix)]


def _prefixes(key: str) -> list[str]:
    words = key.split(".")
    return ["".join(f"{word}." for word in words[:depth]) for depth in range(len(words))]


def _arch_of(shapes: Mapping[str, Shape], said: str | None) -> str | None:
    """The network of which every tensor is there (batch counters may be missing); what is said, or else what shows."""
    for guess in (said, None):
        try:
            arch = guess or infer_arch(shapes, "")
            expected = expected_shapes(arch)
        except UserError:
            continue
        if all(shapes.get(key) == shape for key, shape in expected.items() if not key.endswith(COUNTER)):
            return arch
    return None


def _beside(names: list[str], arch: str, shapes: Mapping[str, Shape]) -> tuple[dict[str, None], dict[str, None]]:
    """Patterns of the keys that are no part of the network, and of those that may be one: a ViT's register tokens, or
    an attention within a ResNet's block."""
    network = expected_shapes(arch)
    modules = {key.split(".")[0] for key in network}
    spec = get(arch)
    classifier = tuple(f"{name}." for name in spec.classifier) if isinstance(spec, TimmSpec) else ()
    drop: dict[str, None] = {}
    unclear: dict[str, None] = {}
    for name in names:
        if name in network:
            continue
        words = name.split(".")
        known = words[0] in DROPPED or name not in shapes or arch in RESNETS
        depth = 1
        while any(other.split(".")[:depth] == words[:depth] for other in network):
            depth += 1
        is_beside = name.startswith(classifier) or (known and words[0] not in modules)
        (drop if is_beside else unclear)[_pattern(name, depth)] = None
    return drop, unclear


def _pattern(key: str, depth: int) -> str:
    """The beginning of a key as a shell pattern: ``projector.*``; a key of so few words is its own pattern."""
    words = key.split(".")
    return glob.escape(".".join(words[:depth])) + ".*" * (len(words) > depth)
