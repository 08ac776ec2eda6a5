"""What a checkpoint layout is, and how its backbone is taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import UserError
from transfer.weights.backbone.naming import Naming
from transfer.weights.backbone.types import IMAGENET, Preprocessing

Checkpoint = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where one network of a checkpoint is.

    Attributes:
        entry: which holds the state dict; None where the checkpoint is the state dict.
        prefix: which its keys begin with; removed.
        head_prefix: beginning of the keys of a head that :class:`pretrain.model.ProjectionHead` can load.
        head_entry: the entry that holds this head.
    """

    entry: str | None = None
    prefix: str = ""
    head_prefix: str | None = None
    head_entry: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """One layout.

    Attributes:
        name: what records and proofs call it; where several methods share a layout, it is the layout's.
        recognise: whether a checkpoint has this layout; at most one row may say yes.
        student, teacher: the trained network; and its moving average or target network, where the layout has one.
        dropped: beginning of keys of the state dict that are not the backbone's, to the reason.
        naming: what the backbone's keys are called here, where it is not torchvision's (ResNets) or timm's (ViTs).
        preprocessing: how the method feeds images; None where the layout serves networks that differ in it.
        preprocessing_entry: entry with ``mean`` and ``std`` of its own.
        head_config_entry: entry with the arguments of the head.
        other_archs: architectures that this layout only seems to hold, to the reason.
        ask_archs: architectures that ``--arch`` has to name, because no tensor tells them from another, to the reason.
    """

    name: str
    recognise: Callable[[Checkpoint], bool]
    student: Network
    teacher: Network | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    naming: Naming | None = None
    preprocessing: Preprocessing | None = IMAGENET
    preprocessing_entry: str | None = None
    head_config_entry: str | None = None
    other_archs: dict[str, str] = field(default_factory=dict)
    ask_archs: dict[str, str] = field(default_factory=dict)

    def network(self, which: str) -> Network | None:
        return self.teacher if which == "teacher" else self.student


def select_network(checkpoint: Checkpoint, source: Source, which: str, where: str) -> Network:
    """The student or the teacher.

    Raises:
        UserError: ``which`` is neither, or the checkpoint has no such network.
    """
    if which not in ("student", "teacher"):
        raise UserError(f"--which is {which!r}: choose student or teacher")
    network = source.network(which)
    if network is None or not isinstance(_state(checkpoint, network), Mapping):
        raise UserError(f"{where} ({source.name}) has no {which}: its entries are {some_keys(checkpoint, 8)}")
    return network


def split_keys(
    checkpoint: Checkpoint, source: Source, network: Network, where: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Parts the state dict by name: the backbone under our keys; and dropped key to reason.

    Raises:
        UserError: a key is neither the backbone's nor dropped by name, or two keys are the same tensor's.
    """
    dropping = dict(source.dropped)
    for other, name in ((source.student, "student"), (source.teacher, "momentum encoder")):
        if other is not None and other != network and other.entry == network.entry:
            dropping[other.prefix] = name
    kept: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for key, value in _state(checkpoint, network).items():
        reasons = [reason for beginning, reason in dropping.items() if str(key).startswith(beginning)]
        if reasons:
            dropped[key] = reasons[0]
        elif isinstance(key, str) and key.startswith(network.prefix):
            name = key.removeprefix(network.prefix)
            name = source.naming.ours(name) if source.naming else name
            if name in kept:
                raise UserError(f"{where} ({source.name}) has {name} under two names, one is {key!r}: it is damaged")
            kept[name] = value
        else:
            raise UserError(f"{where} ({source.name}) has the unknown key {key!r}: nothing is dropped unnamed")
    return kept, dropped


def _state(checkpoint: Checkpoint, network: Network) -> Any:
    return checkpoint if network.entry is None else checkpoint.get(network.entry)


def some_keys(mapping: Mapping[str, Any], count: int = 4) -> str:
    """A few keys, for messages."""
    shown = ", ".join(repr(str(key)[:60])[1:-1] for key in list(mapping)[:count])
    return (shown or "nothing") + (", …" if len(mapping) > count else "")
