"""The table of checkpoint layouts. A new source is one row here and one test.

A layout is recognised by what the checkpoint must hold and must not hold; nothing is matched by similarity. The keys
of its state dict either carry the prefix of the backbone or are dropped by a name in ``dropped``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import UserError

Checkpoint = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One layout.

    Attributes:
        name: what records and proofs call it.
        recognise: whether a checkpoint has this layout; at most one row may say yes.
        state: ``which`` to the entry that holds the state dict; None where the checkpoint is the state dict.
        prefix: which ``which``'s keys begin with; removed.
        dropped: beginning of keys of the state dict that are not the backbone's, to the reason.
        head_prefix: beginning of the keys of a head that :class:`pretrain.model.ProjectionHead` can load.
        head_entry, head_config_entry: entries that hold this head and its arguments.
        preprocessing_entry: entry with ``mean`` and ``std``; where there is none, it is ImageNet's.
    """

    name: str
    recognise: Callable[[Checkpoint], bool]
    state: dict[str, str | None]
    prefix: str = ""
    dropped: dict[str, str] = field(default_factory=dict)
    head_prefix: str | None = None
    head_entry: str | None = None
    head_config_entry: str | None = None
    preprocessing_entry: str | None = None


def _is_ours(checkpoint: Checkpoint) -> bool:
    return checkpoint.get("format") == "twist-transfer" and checkpoint.get("version") == 1


def _is_mapping(checkpoint: Checkpoint, *entries: str) -> bool:
    return all(isinstance(checkpoint.get(entry), Mapping) for entry in entries)


def _is_bare_resnet(checkpoint: Checkpoint) -> bool:
    return {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= checkpoint.keys()


SOURCES: tuple[Source, ...] = (
    Source(
        name="twist-transfer checkpoint",
        recognise=lambda c: _is_ours(c) and _is_mapping(c, "model"),
        state={"student": "model"},
        prefix="backbone.",
        dropped={"head.": "projection head"},
        head_prefix="head.",
    ),
    Source(
        name="twist-transfer backbone",
        recognise=lambda c: _is_ours(c) and _is_mapping(c, "backbone"),
        state={"student": "backbone"},
        head_entry="head",
        head_config_entry="head_config",
        preprocessing_entry="preprocessing",
    ),
    Source(
        name="official TWIST",
        recognise=lambda c: "format" not in c and _is_mapping(c, "model", "backbone"),
        state={"student": "backbone", "teacher": "teacher_backbone"},
    ),
    Source(
        name="official TWIST backbone",  # any bare ResNet without classifier has this layout
        recognise=lambda c: _is_bare_resnet(c) and "fc.weight" not in c,
        state={"student": None},
    ),
    Source(
        name="torchvision",
        recognise=lambda c: _is_bare_resnet(c) and "fc.weight" in c,
        state={"student": None},
        dropped={"fc.": "supervised classifier"},
    ),
    Source(
        name="MoCo v2",
        recognise=lambda c: _is_mapping(c, "state_dict") and "module.encoder_q.conv1.weight" in c["state_dict"],
        state={"student": "state_dict"},
        prefix="module.encoder_q.",
        dropped={
            "module.encoder_q.fc.": "projection head",
            "module.encoder_k.": "momentum encoder",
            "module.queue": "queue of negatives",
        },
    ),
)


def recognise(checkpoint: Checkpoint, where: str) -> Source:
    """The one row that this checkpoint fits.

    Args:
        checkpoint: what was in the file.
        where: the file, for the message.

    Raises:
        UserError: no row fits, or more than one.
    """
    fitting = [source for source in SOURCES if source.recognise(checkpoint)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " and of ".join(source.name for source in fitting)
        raise UserError(f"{where} is ambiguous, it has the layout of {names}: save one of them by itself")
    raise UserError(
        f"{where} has no known layout (its keys begin with {some_keys(checkpoint)}): "
        f"known are {', '.join(source.name for source in SOURCES)}"
    )


def select_state(checkpoint: Checkpoint, source: Source, which: str, where: str) -> Mapping[str, Any]:
    """The state dict of the student or the teacher, with the source's own keys.

    Raises:
        UserError: the checkpoint has no such network.
    """
    if which not in ("student", "teacher"):
        raise UserError(f"--which is {which!r}: choose student or teacher")
    entry = source.state.get(which, "")
    state = checkpoint if entry is None else checkpoint.get(entry)
    if not isinstance(state, Mapping):
        raise UserError(f"{where} ({source.name}) has no {which}: its entries are {some_keys(checkpoint, 8)}")
    return state


def split_keys(state: Mapping[str, Any], source: Source, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Parts the state dict by name: the backbone with its prefix removed; and dropped key to reason.

    Raises:
        UserError: a key is neither the backbone's nor dropped by name.
    """
    kept: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for key, value in state.items():
        reasons = [reason for beginning, reason in source.dropped.items() if str(key).startswith(beginning)]
        if reasons:
            dropped[key] = reasons[0]
        elif isinstance(key, str) and key.startswith(source.prefix):
            kept[key.removeprefix(source.prefix)] = value
        else:
            raise UserError(f"{where} ({source.name}) has the unknown key {key!r}: nothing is dropped unnamed")
    return kept, dropped


def some_keys(mapping: Mapping[str, Any], count: int = 4) -> str:
    """A few keys, for messages."""
    shown = ", ".join(str(key)[:60] for key in list(mapping)[:count])
    return (shown or "nothing") + (", …" if len(mapping) > count else "")
