"""Any known checkpoint, or a seed, to a :class:`Backbone`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.reading import Reading
from transfer.timm_source import named_checkpoint
from transfer.weights.backbone.architecture import canonical
from transfer.weights.backbone.architecture import get as architecture_of
from transfer.weights.backbone.beside import Beside, chosen_preprocessing, named_beside, read_beside
from transfer.weights.backbone.checked import checked_state, is_dense, refuse_damaged, zero_counters
from transfer.weights.backbone.families import completed
from transfer.weights.backbone.infer import infer_arch
from transfer.weights.backbone.mapped import Copies
from transfer.weights.backbone.named import named_state
from transfer.weights.backbone.official_head import official_head
from transfer.weights.backbone.read import check_sums, read_checkpoint, sha256_of, size_of
from transfer.weights.backbone.said_inside import named_inside, refuse_other_blocks, refuse_other_name
from transfer.weights.backbone.sources import recognise, some_keys
from transfer.weights.backbone.suggestion import way_out
from transfer.weights.backbone.timm_layout import timm_layout
from transfer.weights.backbone.timm_network import variant_of
from transfer.weights.backbone.tree import without_wrappers
from transfer.weights.backbone.types import Backbone, Checkpoint, Network, Source
from transfer.weights.backbone.whole_module import refuse_other_layers, says_heads
from twist_common.errors import UserError
from twist_common.files import sha256_text

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEAD_NUMBERS = 2**28  # 1 GiB of a projection head in float32; the official TWIST's have 10 to 40 million


def load_backbone(
    path: str | Path, which: str | None = None, arch: str | None = None, reading: Reading | None = None
) -> Backbone:
    """Reads the backbone out of a checkpoint of any layout in :data:`transfer.weights.backbone.sources.SOURCES`.

    Every key is the backbone's or dropped by name, every tensor has the shape that the architecture asks for, and
    all values are finite. Batch counters (``num_batches_tracked``) that a checkpoint lacks altogether, as those from
    before torch 0.4.1 or after a conversion do, are set to 0, as torch itself does; no feature depends on them.

    Args:
        path: the checkpoint; ``timm:NAME@FILE`` names the network with it, ``timm:NAME`` is timm's in the hub's cache.
        which: ``"student"`` or ``"teacher"``, where the checkpoint has both; None is the layout's default, the
            network that its authors evaluate.
        arch: what the checkpoint is expected to be; None takes what its keys and shapes say, or the config beside
            it, and is refused where they do not say it.
        reading: what the user says because the checkpoint does not.

    Raises:
        UserError: the file is missing, damaged, of unknown or ambiguous layout, or not a whole known network.
    """
    path, arch = named_checkpoint(str(path), arch)
    where = str(path)
    reading = reading or Reading()
    reading.check()
    checkpoint = without_wrappers(read_checkpoint(path))
    check_sums(path)
    hint = functools.partial(way_out, checkpoint, where, arch, reading)
    checkpoint, source, left_out = _layout(checkpoint, reading, which, arch, where)
    taken, other = _networks(checkpoint, source, which, where)
    network = source.teacher if taken == "teacher" else source.student
    assert network is not None, "a layout's default network is one that it has"
    source = completed(source, network, checkpoint)
    held = network.state_of(checkpoint)
    state, dropped = _split_keys(held, source, network, where, hint)
    state = _tensors_only(state, where, hint)
    state = source.values(state, where) if source.values else state
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    beside = read_beside(path, arch, shapes)
    expected, said = arch or named_beside(beside, source, where), named_inside(checkpoint)
    found = infer_arch(shapes, f"{where} ({source.name})", expected, said)
    found = source.archs.get(found, found)
    _check_arch(found, arch, beside, source, checkpoint, where)
    refuse_other_blocks(checkpoint, found, where)
    filled = zero_counters(state, found)
    copies = Copies(size_of(path), where)
    state = checked_state({**state, **filled}, found, where, copies, hint)
    refuse_other_layers(held, found, functools.partial(_our_name, source=source, network=network), where)
    refuse_damaged(state, where)
    known = arch or (beside and beside.arch) or source.says_arch(checkpoint) or said == found or says_heads(held)
    heads = "" if known else _asked_heads(found, source)
    preprocessing = chosen_preprocessing(checkpoint, source, reading, beside, where, heads)
    if heads:
        raise UserError(f"{where} ({source.name}) {heads}")
    head, head_config = _head(checkpoint, source, network, where, copies)
    return Backbone(
        arch=found,
        state_dict=state,
        source_format=source.name,
        source=where,
        sha256=sha256_of(path),
        which=taken,
        other=other,
        preprocessing=preprocessing,
        head=head,
        head_config=head_config,
        dropped=left_out | dropped,
        filled=tuple(filled),
    )


def _layout(
    checkpoint: Checkpoint, reading: Reading, which: str | None, arch: str | None, where: str
) -> tuple[Checkpoint, Source, dict[str, str]]:
    """The checkpoint, or what the user names of it; its row; and what the user leaves out of it, to the reason."""
    if which not in (None, "student", "teacher"):
        raise UserError(f"--which is {which!r}: choose student or teacher")
    if not reading.place:
        return checkpoint, timm_layout(checkpoint, arch) or recognise(checkpoint, where, arch), {}
    if which == "teacher":
        raise UserError(f"--which teacher is for known layouts: {reading.place} says already which network is meant")
    return named_state(checkpoint, reading, where, arch)


def networks_in(path: str | Path) -> tuple[str, str | None]:
    """The network that is taken when nobody says which, and the other one; ``"student"`` of what cannot be read."""
    path = Path(path)
    try:
        checkpoint = without_wrappers(read_checkpoint(path))
        return _networks(checkpoint, recognise(checkpoint, str(path)), None, str(path))
    except UserError:
        return "student", None  # whoever loads it says what is wrong


def _networks(checkpoint: Checkpoint, source: Source, which: str | None, where: str) -> tuple[str, str | None]:
    """The network to take, and the other one if the checkpoint holds it."""
    networks = {"student": source.student, "teacher": source.teacher}
    present = [
        name
        for name, network in networks.items()
        if network is not None and isinstance(network.state_of(checkpoint), Mapping)
    ]
    taken = which or source.default_network
    if taken not in present:
        raise UserError(f"{where} ({source.name}) has no {taken}: its entries are {some_keys(checkpoint, 8)}")
    return taken, next((name for name in present if name != taken), None)


def random_backbone(arch: str, seed: int) -> Backbone:
    """torchvision's or timm's initialisation, drawn from ``seed`` alone; torch's global generator is left as it was.

    Raises:
        UserError: the architecture is unknown.
    """
    import torch

    from transfer.weights.backbone.network import build_network

    arch = canonical(arch)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)  # the CPU's; torch.manual_seed would reseed CUDA too
        state = build_network(arch).state_dict()
    source = f"random:{arch}:{seed}"
    return Backbone(
        arch=arch,
        state_dict=checked_state(
            dict(state), arch, source, Copies(sum(each.nbytes for each in state.values()), source)
        ),
        source_format="random",
        source=source,
        sha256=sha256_text(source),
    )


def _split_keys(
    state: Mapping[str, Any], source: Source, network: Network, where: str, hint: Callable[[], str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The backbone under our keys; and dropped key to reason. A key that is neither, or has a twin, is refused."""
    dropping = dict(source.dropped)
    for other, name in ((source.student, "student"), (source.teacher, "momentum encoder")):
        if other is not None and other != network and other.entry == network.entry:
            dropping[other.prefix] = name
    kept: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for key, value in state.items():
        reasons = [reason for beginning, reason in dropping.items() if str(key).startswith(beginning)]
        if reasons:
            dropped[key] = reasons[0]
        elif isinstance(key, str) and key.startswith(network.prefix):
            name = source.our_name(key.removeprefix(network.prefix))
            if name in kept:
                raise UserError(f"{where} ({source.name}) has {name} under two names, one is {key!r}: it is damaged")
            kept[name] = value
        else:
            way = hint() or ": nothing is dropped unnamed"
            raise UserError(f"{where} ({source.name}) has the unknown key {key!r}{way}")
    return kept, dropped


def _our_name(key: str, source: Source, network: Network) -> str | None:
    return source.our_name(key.removeprefix(network.prefix)) if key.startswith(network.prefix) else None


def _tensors_only(state: Mapping[str, Any], where: str, hint: Callable[[], str] = lambda: "") -> dict[str, Tensor]:
    import torch

    if not state:
        raise UserError(f"{where} holds no backbone weights: its state dict is empty")
    others = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others and "numpy" in getattr(state[others[0]], "name", ""):
        raise UserError(
            f"{where} holds {others[0]!r} as a NumPy array: load it where it was made, and torch.save "
            f"{{name: torch.from_numpy(array) for name, array in ...}}"
        )
    if others:
        way = hint() or ": save the state dict alone"
        raise UserError(f"{where} holds {others[0]!r}, which is not a tensor{way}")
    if nested := [key for key, value in state.items() if value.is_nested]:
        raise UserError(f"{where}: {nested[0]} is a nested tensor: save plain float tensors")
    return dict(state)


def _check_arch(
    found: str, expected: str | None, beside: Beside | None, source: Source, checkpoint: Checkpoint, where: str
) -> None:
    if expected is not None and architecture_of(expected) != architecture_of(found):
        raise UserError(f"{where} holds a {found}, not a {expected}: give the right --arch, or leave it out")
    if beside is not None and beside.arch is not None and architecture_of(beside.arch) != architecture_of(found):
        raise UserError(
            f"{where} holds a {found}, but {beside.path} says {beside.arch}: move the one away that is about another "
            f"checkpoint"
        )
    if expected is None and (beside is None or beside.arch is None):
        refuse_other_name(checkpoint, found, where)


def _asked_heads(found: str, source: Source) -> str:
    """The question for the heads, which no tensor shows; empty where the layout fixes them."""
    reason = source.ask_archs.get(variant_of(found).model)
    return f"may be a {found}: {reason}; give --arch {found} if it is one" if reason else ""


def _head(
    checkpoint: Checkpoint, source: Source, network: Network, where: str, copies: Copies
) -> tuple[dict[str, Tensor] | None, dict[str, Any] | None]:
    """The projection head and the arguments that build it; that they fit is for whoever builds it to check."""
    head: object = None
    config: object = None
    recipe = checkpoint.get("recipe")
    model = recipe.get("model") if isinstance(recipe, Mapping) else None
    recipe_says = model if isinstance(model, Mapping) else {}
    said = {name: recipe_says[name] for name in ("activation", "nbs") if name in recipe_says}  # what no shape shows
    if network.official_head_entry is not None:
        head, said = official_head(checkpoint, network.official_head_entry) or (None, {})
    elif network.head_entry is not None:
        head, config = checkpoint.get(network.head_entry), checkpoint.get(source.head_config_entry or "")
    elif network.head_prefix is not None:
        state, prefix = network.state_of(checkpoint), network.head_prefix
        head = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not isinstance(head, Mapping) or not head:
        return None, None
    tensors = _tensors_only(head, where)
    if sum(tensor.numel() for tensor in tensors.values()) > MAX_HEAD_NUMBERS:
        raise UserError(f"{where} has a head of more than {MAX_HEAD_NUMBERS} numbers: it is damaged, or no head")
    tensors = {key: copies.of(value) if is_dense(value) else value for key, value in tensors.items()}
    if isinstance(config, Mapping):
        return tensors, dict(config)
    linear = [value for key, value in sorted(tensors.items()) if key.startswith("mlp.") and value.ndim == 2]
    if len(linear) < 2:
        raise UserError(f"{where} has a head without linear layers ({some_keys(tensors)}): it is damaged")
    hidden, in_features = linear[0].shape
    return tensors, {"in_features": in_features, "hidden": hidden, "num_classes": linear[-1].shape[0], **said}
