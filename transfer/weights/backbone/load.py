"""Any known checkpoint, or a seed, to a :class:`Backbone`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import sha256_file, sha256_text
from transfer.weights.backbone import architecture
from transfer.weights.backbone.architecture import COUNTER
from transfer.weights.backbone.read import read_checkpoint
from transfer.weights.backbone.source import Network, Source, select_network, some_keys, split_keys
from transfer.weights.backbone.sources import recognise
from transfer.weights.backbone.types import Backbone, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

TIMM_CONFIG = "config.json"


def load_backbone(path: str | Path, which: str = "student", arch: str | None = None) -> Backbone:
    """Reads the backbone out of a checkpoint of any layout in :data:`transfer.weights.backbone.sources.SOURCES`.

    Every key is the backbone's or dropped by name, every tensor has the shape that the architecture asks for, and
    all values are finite. Batch counters (``num_batches_tracked``) that a checkpoint lacks altogether, as those from
    before torch 0.4.1 or after a conversion do, are set to 0, as torch itself does; they have no part in any feature.

    Args:
        path: the checkpoint.
        which: ``"student"`` or ``"teacher"``, where the checkpoint has both.
        arch: what the checkpoint is expected to be; None takes what its keys and shapes say, and is refused where
            they do not say it.

    Raises:
        UserError: the file is missing, damaged, of unknown or ambiguous layout, or not a whole known network.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    source = recognise(checkpoint, str(path))
    network = select_network(checkpoint, source, which, str(path))
    state, dropped = split_keys(checkpoint, source, network, str(path))
    state = _tensors_only(state, str(path))
    found = architecture.infer_arch({key: tuple(value.shape) for key, value in state.items()}, str(path))
    _check_arch(found, arch, source, str(path))
    filled = _fill_counters(state, found)
    state = _checked(state, found, str(path))
    head, head_config = _head(checkpoint, source, network, str(path))
    return Backbone(
        arch=found,
        state_dict=state,
        source_format=source.name,
        source=str(path),
        sha256=sha256_file(path),
        which=which,
        preprocessing=_preprocessing(checkpoint, source, path),
        head=head,
        head_config=head_config,
        dropped=dropped,
        filled=filled,
    )


def random_backbone(arch: str, seed: int) -> Backbone:
    """torchvision's or timm's initialisation, drawn from ``seed`` alone; torch's global generator is left as it was.

    Raises:
        UserError: the architecture is unknown.
    """
    import torch

    from pretrain.model import build_backbone

    architecture.get(arch)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)  # the CPU's; torch.manual_seed would reseed CUDA too
        state = build_backbone(arch).state_dict()
    source = f"random:{arch}:{seed}"
    return Backbone(
        arch=arch,
        state_dict=_checked(dict(state), arch, source),
        source_format="random",
        source=source,
        sha256=sha256_text(source),
    )


def _check_arch(found: str, expected: str | None, source: Source, where: str) -> None:
    if expected is not None and architecture.get(expected) != architecture.get(found):
        raise UserError(f"{where} holds a {found}, not a {expected}: give the right --arch, or leave it out")
    if reason := source.other_archs.get(found):
        raise UserError(f"{where} ({source.name}) has a {found}'s shapes but is none: {reason}")
    if expected is None and (reason := source.ask_archs.get(found)):
        raise UserError(f"{where} ({source.name}) may be a {found}: {reason}; give --arch {found} if it is one")


def _tensors_only(state: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    import torch

    if not state:
        raise UserError(f"{where} holds no backbone weights: its state dict is empty")
    others = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UserError(f"{where} holds {others[0]!r}, which is not a tensor: save the state dict alone")
    return dict(state)


def _fill_counters(state: dict[str, Tensor], arch: str) -> tuple[str, ...]:
    """All or none: a checkpoint that has some of the counters has lost the others."""
    import torch

    counters = [key for key in architecture.expected_shapes(arch) if key.endswith(COUNTER)]
    if any(key in state for key in counters):
        return ()
    state.update({key: torch.tensor(0) for key in counters})
    return tuple(counters)


def _checked(state: dict[str, Tensor], arch: str, where: str) -> dict[str, Tensor]:
    """The state dict in torchvision's order, in float32; every tensor as the architecture has it."""
    shapes = architecture.expected_shapes(arch)
    missing, extra = shapes.keys() - state.keys(), state.keys() - shapes.keys()
    if missing:
        raise UserError(f"{where} lacks {_names(missing)} of a {arch}: it is damaged or another network")
    if extra:
        raise UserError(f"{where} has {_names(extra)}, which a {arch} does not: it is another network")
    return {key: _checked_tensor(key, state[key], shape, arch, where) for key, shape in shapes.items()}


def _checked_tensor(key: str, tensor: Tensor, shape: tuple[int, ...], arch: str, where: str) -> Tensor:
    import torch

    if tuple(tensor.shape) != shape:
        raise UserError(
            f"{where}: {key} has shape {list(tensor.shape)}, a {arch} has {list(shape)}: "
            f"it is damaged, or a variant (wide, grouped) that is not known here"
        )
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        raise UserError(f"{where}: {key} is not a dense tensor: save plain float tensors")
    if key.endswith(COUNTER):
        if tensor.dtype != torch.int64:
            raise UserError(f"{where}: {key} is {tensor.dtype}, not a whole number of batches")
        return tensor.clone()
    if not tensor.is_floating_point():
        raise UserError(f"{where}: {key} is {tensor.dtype}, not floating point: save unquantised weights")
    values = tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)
    if not bool(torch.isfinite(values).all()):
        raise UserError(f"{where}: {key} holds NaN or infinity: take a checkpoint from before training diverged")
    if key.endswith("running_var") and bool((values < 0).any()):
        raise UserError(f"{where}: {key} holds a negative variance: the checkpoint is damaged")
    return values


def _head(
    checkpoint: Mapping[str, Any], source: Source, network: Network, where: str
) -> tuple[dict[str, Tensor] | None, dict[str, Any] | None]:
    """The projection head and the arguments that build it; that they fit is for whoever builds it to check."""
    head: object = None
    config: object = None
    if network.head_entry is not None:
        head, config = checkpoint.get(network.head_entry), checkpoint.get(source.head_config_entry or "")
    elif network.head_prefix is not None:
        state, prefix = checkpoint[network.entry or ""], network.head_prefix
        head = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not isinstance(head, Mapping) or not head:
        return None, None
    tensors = _tensors_only(head, where)
    if isinstance(config, Mapping):
        return tensors, dict(config)
    return tensors, {**_head_config(tensors, where), **_head_options(checkpoint)}


def _head_options(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What no shape of a head tells, from the recipe that a checkpoint of ours holds."""
    recipe = checkpoint.get("recipe")
    model = recipe.get("model") if isinstance(recipe, Mapping) else None
    return {name: model[name] for name in ("activation", "nbs") if name in model} if isinstance(model, Mapping) else {}


def _head_config(head: Mapping[str, Tensor], where: str) -> dict[str, int]:
    """The arguments of :class:`pretrain.model.ProjectionHead`, as the shapes of its linear layers say."""
    linear = [value for key, value in head.items() if key.startswith("mlp.") and value.ndim == 2]
    if len(linear) < 2:
        raise UserError(f"{where} has a head without linear layers ({some_keys(head)}): it is damaged")
    hidden, in_features = linear[0].shape
    return {"in_features": in_features, "hidden": hidden, "num_classes": linear[-1].shape[0]}


def _preprocessing(checkpoint: Mapping[str, Any], source: Source, path: Path) -> Preprocessing:
    """What the checkpoint says of its images, else the layout, else timm's ``config.json`` beside the file."""
    entry = checkpoint.get(source.preprocessing_entry or "")
    if entry is None and source.preprocessing is not None:
        return source.preprocessing
    where = str(path)
    if entry is None:
        where, entry = f"{path.parent / TIMM_CONFIG}", _timm_config(path, source)
    try:
        mean, std = (tuple(float(value) for value in entry[name]) for name in ("mean", "std"))
        (m0, m1, m2), (s0, s1, s2) = mean, std
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{where}: its preprocessing is not three means and three deviations: {entry!r}") from None
    return Preprocessing("RGB", mean=(m0, m1, m2), std=(s0, s1, s2))


def _timm_config(path: Path, source: Source) -> Any:
    """``pretrained_cfg`` of the file that timm publishes beside its weights."""
    config = path.parent / TIMM_CONFIG
    if not config.is_file():
        raise UserError(
            f"{path} ({source.name}) does not say by which mean and deviation its images were scaled: "
            f"put the {TIMM_CONFIG} that timm publishes with it beside it"
        )
    try:
        return json.loads(config.read_text(encoding="utf-8"))["pretrained_cfg"]
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{config} is not timm's: it has no pretrained_cfg with mean and std") from None


def _names(keys: set[str], count: int = 3) -> str:
    return some_keys(dict.fromkeys(sorted(keys)), count)
