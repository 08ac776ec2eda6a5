"""Any known checkpoint, or a seed, to a :class:`Backbone`."""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import sha256_file, sha256_text
from transfer.weights.backbone.architecture import COUNTER, expected_shapes, infer_arch
from transfer.weights.backbone.architecture import get as architecture_of
from transfer.weights.backbone.sources import recognise, some_keys
from transfer.weights.backbone.types import Backbone, Checkpoint, Network, Preprocessing, Source

if TYPE_CHECKING:
    from torch import Tensor

TIMM_CONFIG = "config.json"


def load_backbone(path: str | Path, which: str = "student", arch: str | None = None) -> Backbone:
    """Reads the backbone out of a checkpoint of any layout in :data:`transfer.weights.backbone.sources.SOURCES`.

    Every key is the backbone's or dropped by name, every tensor has the shape that the architecture asks for, and
    all values are finite. Batch counters (``num_batches_tracked``) that a checkpoint lacks altogether, as those from
    before torch 0.4.1 or after a conversion do, are set to 0, as torch itself does; no feature depends on them.

    Args:
        path: the checkpoint.
        which: ``"student"`` or ``"teacher"``, where the checkpoint has both.
        arch: what the checkpoint is expected to be; None takes what its keys and shapes say, and is refused where
            they do not say it.

    Raises:
        UserError: the file is missing, damaged, of unknown or ambiguous layout, or not a whole known network.
    """
    path = Path(path)
    where = str(path)
    checkpoint = read_checkpoint(path)
    source = recognise(checkpoint, where)
    if which not in ("student", "teacher"):
        raise UserError(f"--which is {which!r}: choose student or teacher")
    network = source.teacher if which == "teacher" else source.student
    if network is None or not isinstance(network.state_of(checkpoint), Mapping):
        raise UserError(f"{where} ({source.name}) has no {which}: its entries are {some_keys(checkpoint, 8)}")
    state, dropped = _split_keys(network.state_of(checkpoint), source, network, where)
    state = _tensors_only(state, where)
    found = infer_arch({key: tuple(value.shape) for key, value in state.items()}, where)
    _check_arch(found, arch, source, where)
    filled = _zero_counters(state, found)
    state = _checked({**state, **filled}, found, where)
    head, head_config = _head(checkpoint, source, network, where)
    return Backbone(
        arch=found,
        state_dict=state,
        source_format=source.name,
        source=where,
        sha256=sha256_file(path),
        which=which,
        preprocessing=_preprocessing(checkpoint, source, path),
        head=head,
        head_config=head_config,
        dropped=dropped,
        filled=tuple(filled),
    )


def random_backbone(arch: str, seed: int) -> Backbone:
    """torchvision's or timm's initialisation, drawn from ``seed`` alone; torch's global generator is left as it was.

    Raises:
        UserError: the architecture is unknown.
    """
    import torch

    from pretrain.model import build_backbone

    architecture_of(arch)
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


def read_checkpoint(path: Path) -> Checkpoint:
    """What ``torch.save`` wrote, read with ``weights_only=True``; or a file of safetensors. No code in it is run.

    ``argparse.Namespace`` is allowed too, for this load only: the official TWIST checkpoints keep their command
    line in one. It is plain data; building it calls nothing.

    Raises:
        UserError: no file, not a checkpoint, damaged, or it holds objects other than tensors and plain containers.
    """
    import torch

    if not path.is_file():
        kind = "is a folder, not a checkpoint" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {kind}: give the path of a .pth file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty: copy or download it again")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's pickle protocol: it loads, or is refused below
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from None
    except Exception as error:  # whatever the bytes are: the unpickler and the archive reader raise almost any type
        reason = "the file is damaged or of another kind; copy or download it again"
        if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
            reason = f"it refers to the Python object {refused[1]}, which is not run; "
            reason += "save tensors and plain containers only"
        raise UserError(f"{path} is not a checkpoint that can be loaded safely: {reason}") from None
    if not isinstance(checkpoint, Mapping):
        raise UserError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint's dict of tensors")
    return checkpoint


def _split_keys(
    state: Mapping[str, Any], source: Source, network: Network, where: str
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
            name = key.removeprefix(network.prefix)
            name = source.naming.ours(name) if source.naming else name
            if name in kept:
                raise UserError(f"{where} ({source.name}) has {name} under two names, one is {key!r}: it is damaged")
            kept[name] = value
        else:
            raise UserError(f"{where} ({source.name}) has the unknown key {key!r}: nothing is dropped unnamed")
    return kept, dropped


def _tensors_only(state: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    import torch

    if not state:
        raise UserError(f"{where} holds no backbone weights: its state dict is empty")
    others = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UserError(f"{where} holds {others[0]!r}, which is not a tensor: save the state dict alone")
    return dict(state)


def _check_arch(found: str, expected: str | None, source: Source, where: str) -> None:
    if expected is not None and architecture_of(expected) != architecture_of(found):
        raise UserError(f"{where} holds a {found}, not a {expected}: give the right --arch, or leave it out")
    if reason := source.other_archs.get(found):
        raise UserError(f"{where} ({source.name}) has a {found}'s shapes but is none: {reason}")
    if expected is None and (reason := source.ask_archs.get(found)):
        raise UserError(f"{where} ({source.name}) may be a {found}: {reason}; give --arch {found} if it is one")


def _zero_counters(state: Mapping[str, Tensor], arch: str) -> dict[str, Tensor]:
    """The counters of a checkpoint that has none; one that has some of them has lost the others."""
    import torch

    counters = [key for key in expected_shapes(arch) if key.endswith(COUNTER)]
    return {} if any(key in state for key in counters) else {key: torch.tensor(0) for key in counters}


def _checked(state: Mapping[str, Tensor], arch: str, where: str) -> dict[str, Tensor]:
    """The state dict in torchvision's or timm's order, in float32; every tensor as the architecture has it."""
    import torch

    shapes = expected_shapes(arch)
    if missing := sorted(shapes.keys() - state.keys()):
        raise UserError(f"{where} lacks {some_keys(missing, 3)} of a {arch}: it is damaged or another network")
    if extra := sorted(state.keys() - shapes.keys()):
        raise UserError(f"{where} has {some_keys(extra, 3)}, which a {arch} does not: it is another network")
    checked: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        tensor = state[key]
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
            checked[key] = tensor.clone()
            continue
        if not tensor.is_floating_point():
            raise UserError(f"{where}: {key} is {tensor.dtype}, not floating point: save unquantised weights")
        checked[key] = values = tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)
        if not bool(torch.isfinite(values).all()):
            raise UserError(f"{where}: {key} holds NaN or infinity: take a checkpoint from before training diverged")
        if key.endswith("running_var") and bool((values < 0).any()):
            raise UserError(f"{where}: {key} holds a negative variance: the checkpoint is damaged")
    return checked


def _head(
    checkpoint: Checkpoint, source: Source, network: Network, where: str
) -> tuple[dict[str, Tensor] | None, dict[str, Any] | None]:
    """The projection head and the arguments that build it; that they fit is for whoever builds it to check."""
    head: object = None
    config: object = None
    if network.head_entry is not None:
        head, config = checkpoint.get(network.head_entry), checkpoint.get(source.head_config_entry or "")
    elif network.head_prefix is not None:
        state, prefix = network.state_of(checkpoint), network.head_prefix
        head = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not isinstance(head, Mapping) or not head:
        return None, None
    tensors = _tensors_only(head, where)
    if isinstance(config, Mapping):
        return tensors, dict(config)
    # else what the shapes of the linear layers show, and what no shape does, from the recipe in our checkpoints
    linear = [value for key, value in tensors.items() if key.startswith("mlp.") and value.ndim == 2]
    if len(linear) < 2:
        raise UserError(f"{where} has a head without linear layers ({some_keys(tensors)}): it is damaged")
    hidden, in_features = linear[0].shape
    arguments = {"in_features": in_features, "hidden": hidden, "num_classes": linear[-1].shape[0]}
    recipe = checkpoint.get("recipe")
    model = recipe.get("model") if isinstance(recipe, Mapping) else None
    if isinstance(model, Mapping):
        arguments |= {name: model[name] for name in ("activation", "nbs") if name in model}
    return tensors, arguments


def _preprocessing(checkpoint: Checkpoint, source: Source, path: Path) -> Preprocessing:
    """What the checkpoint says of its images, else the layout, else timm's ``config.json`` beside the file."""
    entry, where = checkpoint.get(source.preprocessing_entry or ""), path
    if entry is None:
        if source.preprocessing is not None:
            return source.preprocessing
        where = path.parent / TIMM_CONFIG
        if not where.is_file():
            raise UserError(
                f"{path} ({source.name}) does not say by which mean and deviation its images were scaled: "
                f"put the {TIMM_CONFIG} that timm publishes with it beside it"
            )
        try:
            entry = json.loads(where.read_text(encoding="utf-8"))["pretrained_cfg"]
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{where} is not timm's: it has no pretrained_cfg with mean and std") from None
    try:
        (m0, m1, m2), (s0, s1, s2) = (tuple(float(value) for value in entry[name]) for name in ("mean", "std"))
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{where}: its preprocessing is not three means and three deviations: {entry!r}") from None
    return Preprocessing("RGB", mean=(m0, m1, m2), std=(s0, s1, s2))
