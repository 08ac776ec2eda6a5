"""Any known checkpoint, or a seed, to a :class:`Backbone`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import sha256_file, sha256_text
from transfer.backbone import architecture
from transfer.backbone.architecture import COUNTER
from transfer.backbone.read import read_checkpoint
from transfer.backbone.sources import Source, recognise, select_state, some_keys, split_keys
from transfer.backbone.types import IMAGENET, Backbone, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor


def load_backbone(path: str | Path, which: str = "student", arch: str | None = None) -> Backbone:
    """Reads the backbone out of a checkpoint of any layout in :data:`transfer.backbone.sources.SOURCES`.

    Every key is the backbone's or dropped by name, every tensor has the shape that the architecture asks for, and
    all values are finite. Batch counters (``num_batches_tracked``) that a checkpoint lacks altogether, as those from
    before torch 0.4.1 or after a conversion do, are set to 0, as torch itself does; they have no part in any feature.

    Args:
        path: the checkpoint.
        which: ``"student"`` or ``"teacher"``, where the checkpoint has both.
        arch: what the checkpoint is expected to be; None takes what its keys and shapes say.

    Raises:
        UserError: the file is missing, damaged, of unknown or ambiguous layout, or not a whole ResNet.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    source = recognise(checkpoint, str(path))
    state, dropped = split_keys(select_state(checkpoint, source, which, str(path)), source, str(path))
    state = _tensors_only(state, str(path))
    found = architecture.infer_arch({key: tuple(value.shape) for key, value in state.items()}, str(path))
    if arch is not None and architecture.get(arch) != architecture.get(found):
        raise UserError(f"{path} holds a {found}, not a {arch}: give the right --arch, or leave it out")
    filled = _fill_counters(state, found)
    state = _checked(state, found, str(path))
    head, head_config = _head(checkpoint, source, which, str(path))
    return Backbone(
        arch=found,
        state_dict=state,
        source_format=source.name,
        source=str(path),
        sha256=sha256_file(path),
        which=which,
        preprocessing=_preprocessing(checkpoint, source, str(path)),
        head=head,
        head_config=head_config,
        dropped=dropped,
        filled=filled,
    )


def random_backbone(arch: str, seed: int) -> Backbone:
    """torchvision's default initialisation, drawn from ``seed`` alone; torch's global generator is left as it was.

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
    checkpoint: Mapping[str, Any], source: Source, which: str, where: str
) -> tuple[dict[str, Tensor] | None, dict[str, Any] | None]:
    """The projection head and the arguments that build it; that they fit is for whoever builds it to check."""
    head: object = None
    config: object = None
    if source.head_entry is not None:
        head, config = checkpoint.get(source.head_entry), checkpoint.get(source.head_config_entry or "")
    elif source.head_prefix is not None:
        state = checkpoint[source.state[which] or ""]
        prefix = source.head_prefix
        head = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not isinstance(head, Mapping) or not head:
        return None, None
    tensors = _tensors_only(head, where)
    return tensors, dict(config) if isinstance(config, Mapping) else _head_config(tensors, where)


def _head_config(head: Mapping[str, Tensor], where: str) -> dict[str, int]:
    """The arguments of :class:`pretrain.model.ProjectionHead`, as the shapes of its linear layers say."""
    linear = [value for key, value in head.items() if key.startswith("mlp.") and value.ndim == 2]
    if len(linear) < 2:
        raise UserError(f"{where} has a head without linear layers ({some_keys(head)}): it is damaged")
    hidden, in_features = linear[0].shape
    return {"in_features": in_features, "hidden": hidden, "num_classes": linear[-1].shape[0]}


def _preprocessing(checkpoint: Mapping[str, Any], source: Source, where: str) -> Preprocessing:
    """What the checkpoint says of its images, or ImageNet's; every known source is trained on RGB."""
    entry = checkpoint.get(source.preprocessing_entry or "")
    if entry is None:
        return IMAGENET
    try:
        mean, std = (tuple(float(value) for value in entry[name]) for name in ("mean", "std"))
        (m0, m1, m2), (s0, s1, s2) = mean, std
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{where}: its preprocessing is not three means and three deviations: {entry!r}") from None
    return Preprocessing("RGB", mean=(m0, m1, m2), std=(s0, s1, s2))


def _names(keys: set[str], count: int = 3) -> str:
    return some_keys(dict.fromkeys(sorted(keys)), count)
