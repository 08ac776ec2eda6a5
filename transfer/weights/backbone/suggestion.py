"""The command that a refusal ends with: the way out (:mod:`transfer.weights.backbone.named`), filled in.

Nothing is read by it: whoever types the command says that it is right, and the names and shapes are checked as ever.
What no rule shows is left to be filled in, and a key that may be a part of the network is not suggested for dropping.
"""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.reading import NOTHING_SAID, Reading, spaced
from transfer.weights.backbone.architecture import COUNTER, canonical, expected_shapes, get
from transfer.weights.backbone.beside import read_beside
from transfer.weights.backbone.families import NETWORKS_FIRST, Family, family_of
from transfer.weights.backbone.generic import DROPPED
from transfer.weights.backbone.hugging_face import FAMILIES as HUGGING_FACE
from transfer.weights.backbone.infer import infer_arch
from transfer.weights.backbone.known_timm import same_in_timm
from transfer.weights.backbone.marks import ASK_HEADS
from transfer.weights.backbone.named import entries_called, entries_in, our_shapes, source_of, tensors_in
from transfer.weights.backbone.types import Checkpoint
from transfer.weights.backbone.unusable import is_optimizers
from twist_common.errors import UserError

COMMAND = "tools/convert.sh"
UNKNOWN = "NAME"
MAX_PLACES = 8  # that are looked at among the largest entries, and in one entry; a made-up file may have thousands
SHARE = 4  # a network has at least a quarter of the tensors of the entry that it is in


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a network may be.

    Attributes:
        arch: None where names and shapes do not show it.
        twins: networks of timm that all have these names and shapes.
        drop: patterns of what is beside the network.
        unclear: keys under the prefix that may be a part of the network, or not.
    """

    entry: str | None
    prefix: str
    num_tensors: int
    arch: str | None
    twins: tuple[str, ...]
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
    entries = {name: state for name, state in entries_in(checkpoint).items() if reading.entry in (None, name)}
    largest = sorted(entries.items(), key=lambda item: -len(item[1]))[:MAX_PLACES]
    places = [
        place
        for entry, state in largest
        if not is_optimizers(state) and (entry is None or len(list(entries_called(checkpoint, entry))) == 1)
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
    if named is None and best.arch is not None:
        remarks.append(f"{UNKNOWN} may be {best.arch}: {ASK_HEADS[best.arch]}")
    elif named is None:
        one_of = f"one of timm's {', '.join(best.twins)}" if best.twins else "a network here or in timm"
        remarks.append(f"{UNKNOWN} is {one_of} with these names of tensors")
    remark = f" ({'; '.join(remarks)})" if remarks else ""
    return f": say where the network is and how images were scaled{remark}, as every command takes it: {command}"


def _is_twin(other: _Place, best: _Place) -> bool:
    return other is not best and (other.arch, other.num_tensors) == (best.arch, best.num_tensors)


def _options(place: _Place, arch: str | None, where: str, reading: Reading) -> Iterator[str]:
    yield f"{COMMAND} {shlex.quote(where)}"
    if place_and_drop := Reading(
        entry=place.entry, prefix=place.prefix, drop=tuple(dict.fromkeys((*reading.drop, *place.drop)))
    ).place:
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
                get(said)
                return canonical(said)
            except UserError:
                continue
    return None


def _places(entry: str | None, state: Mapping[Any, Any], said: str | None, prefix: str | None) -> Iterator[_Place]:
    """Every prefix with a network of a known family; where there is none, the longest that a quarter of the tensors
    have, by the first one that takes images."""
    keys = [str(key) for key in state]
    marks = (*NETWORKS_FIRST, *(mark for family in HUGGING_FACE for mark in family.marks))
    number = 0
    for each in dict.fromkeys(key.removesuffix(mark) for key in keys for mark in marks if key.endswith(mark)):
        if not (each == "" or each.endswith(".")) or prefix not in (None, each) or number == MAX_PLACES:
            continue
        family = family_of(state, each)
        is_of_hugging_face = any(all(each + mark in state for mark in other.marks) for other in HUGGING_FACE)
        if family is not None or is_of_hugging_face:
            number += 1
            yield _place(entry, each, family, _under(state, each), said)
    tensors = tensors_in(state)
    takes_images = [key for key, value in tensors.items() if value.ndim == 4 and value.shape[1] == 3]
    if number == 0 and takes_images:
        words = takes_images[0].split(".")
        prefixes = ["".join(f"{word}." for word in words[:depth]) for depth in range(len(words))]
        counts = {each: sum(key.startswith(each) for key in tensors) for each in prefixes}
        each = [each for each in prefixes if counts[each] * SHARE >= len(tensors)][-1] if prefix is None else prefix
        yield _place(entry, each, None, _under(state, each), said)


def _under(state: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    return {str(key).removeprefix(prefix): value for key, value in state.items() if str(key).startswith(prefix)}


def _place(entry: str | None, prefix: str, family: Family | None, state: dict[str, Any], said: str | None) -> _Place:
    """The architecture, where what is left without the heads that are known by name is one whole; and these heads."""
    of_said = expected_shapes(said) if said else {}
    beside = {name: None for name in state if name not in of_said and _is_beside(name, state[name], family)}
    kept = {name: value for name, value in state.items() if name not in beside}
    source = source_of(kept, family)
    arch: str | None = None
    unclear: list[str] = []
    twins: list[str] = []
    for guess in (said, None):
        try:
            shapes = our_shapes(kept, source, "")
            twins = same_in_timm(shapes)
            found = infer_arch(shapes, "", guess)
            network = expected_shapes(found)
        except (UserError, LookupError, RuntimeError, ValueError):  # those of tensors that only seem to fit
            continue
        if all(shapes.get(key) == shape for key, shape in network.items() if not key.endswith(COUNTER)):
            unclear = [name for name in kept if source.our_name(name) in shapes.keys() - network.keys()]
            is_shown = guess is not None or source.config != "needed"
            arch = found if is_shown and not unclear else None
            break
    return _Place(
        entry=entry,
        prefix=prefix,
        num_tensors=len(kept),
        arch=arch,
        twins=tuple(twins),
        drop=tuple(_patterns(beside, kept, family.buffers if family else ())),
        unclear=tuple(_patterns(unclear, set(kept) - set(unclear))),
    )


def _is_beside(name: str, value: Any, family: Family | None) -> bool:
    """Whether a key is by its name no part of the network. A ViT's may be one of its tokens; a ResNet has none."""
    first = name.split(".")[0]
    if family is None:
        return first in DROPPED
    if name.startswith(family.kept or "\0"):
        return False
    ours = (family.naming.ours(name) if family.naming else name).split(".")[0]
    is_of_no_resnet = family.name.startswith("ResNet") and not re.fullmatch(r"conv1|bn1|layer[1-4]", ours)
    known = first in DROPPED or name.startswith(tuple(family.dropped)) or name.endswith(family.buffers or "\0")
    return known or is_of_no_resnet or not hasattr(value, "shape")


def _patterns(names: Iterable[str], others: Iterable[str], endings: Iterable[str] = ()) -> dict[str, None]:
    """Shell patterns, as short as they may be, of these names and of none of the others: their beginnings, or one of
    these endings."""
    kept = {tuple(other.split(".")[:depth]) for other in others for depth in range(1, other.count(".") + 2)}
    patterns: dict[str, None] = {}
    for name in names:
        if ending := next((ending for ending in endings if name.endswith(ending)), None):
            patterns[f"*{ending}"] = None
            continue
        words = name.split(".")
        depth = next((n for n in range(1, len(words)) if tuple(words[:n]) not in kept), len(words))
        patterns[glob.escape(".".join(words[:depth])) + ".*" * (depth < len(words))] = None
    return patterns
