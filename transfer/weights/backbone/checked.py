"""Whether a network's tensors are those that its architecture has, with values that a trained network can have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from transfer.weights.backbone.architecture import COUNTER, expected_shapes
from transfer.weights.backbone.mapped import Copies
from transfer.weights.backbone.sources import some_keys
from twist_common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 1e15  # of any number in a network: a flipped bit of the exponent gives more
HOLE = 1024  # zeros in a row, a page of 4 KiB, that an unfinished download leaves
AGAIN = "the file is damaged; copy or download it again"


def zero_counters(state: Mapping[str, Tensor], arch: str) -> dict[str, Tensor]:
    """The counters of a checkpoint that has none; one that has some of them has lost the others. And those that
    float16 could not hold, which ends at 65,504."""
    import torch

    counters = [key for key in expected_shapes(arch) if key.endswith(COUNTER)]
    held = [key for key in counters if key in state]
    lost = [
        key for key in held if state[key].dtype == torch.float16 and not state[key].is_meta and state[key].isinf().all()
    ]
    return {key: torch.tensor(0) for key in (lost if held else counters)}


def checked_state(
    state: Mapping[str, Tensor], arch: str, where: str, copies: Copies, hint: Callable[[], str] = lambda: ""
) -> dict[str, Tensor]:
    """The state dict in torchvision's or timm's order, in float32; every tensor as the architecture has it.

    Raises:
        UserError: a tensor is missing, or one is there that the architecture does not have, or not so.
    """
    import torch

    shapes = expected_shapes(arch)
    if missing := sorted(shapes.keys() - state.keys()):
        if all(key.endswith(("running_mean", "running_var")) for key in missing):
            raise UserError(
                f"{where} has norms without statistics, which a {arch}'s have: if they are group norms, "
                f"give --arch with timm's name of it (resnet50_gn), if timm has it"
            )
        if "fc_norm.weight" in state:
            raise UserError(
                f"{where} was fine-tuned with average pooling: its last norm is one of the mean of all tokens "
                f"(fc_norm), and a {arch} has one of each token; give the checkpoint from before it was fine-tuned"
            )
        raise UserError(f"{where} lacks {some_keys(missing, 3)} of a {arch}: it is damaged or another network")
    if extra := sorted(state.keys() - shapes.keys()):
        way = hint() or ": it is another network"
        raise UserError(f"{where} has {some_keys(extra, 3)}, which a {arch} does not{way}")
    checked: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        tensor = state[key]
        if tuple(tensor.shape) != shape:
            raise UserError(
                f"{where}: {key} has shape {list(tensor.shape)}, a {arch} has {list(shape)}: "
                f"it is damaged, or a variant (wide, grouped), which --arch names if timm has it"
            )
        if not is_dense(tensor):
            raise UserError(f"{where}: {key} is not a dense tensor: save plain float tensors")
        if key.endswith(COUNTER):
            # timm's avg_checkpoints.py writes float32 averages of counters, too; no feature depends on them
            if tensor.is_complex() or not math.isfinite(tensor.item()):
                raise UserError(f"{where}: {key} is {tensor.item()}, not a number of batches")
            checked[key] = tensor.to(torch.int64, copy=True)
            continue
        if not tensor.is_floating_point():
            raise UserError(f"{where}: {key} is {tensor.dtype}, not floating point: save unquantised weights")
        checked[key] = values = copies.of(tensor, torch.float32)
        lowest, highest = torch.aminmax(values)
        if not math.isfinite(lowest) or not math.isfinite(highest):
            raise UserError(f"{where}: {key} holds NaN or infinity: take a checkpoint from before training diverged")
        if max(-lowest, highest) > LARGEST:
            raise UserError(f"{where}: {key} holds {max(-lowest, highest):.0e}, which no network learns: {AGAIN}")
        if key.endswith("running_var") and bool(lowest < 0):
            raise UserError(f"{where}: {key} holds a negative variance: the checkpoint is damaged")
    return checked


def is_dense(tensor: Tensor) -> bool:
    import torch

    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized


def refuse_damaged(state: Mapping[str, Tensor], where: str) -> None:
    """Refuses weights that are zeros as a whole or from the middle of a row on, and statistics of no batch.

    Channels that died in training, or that float16 could not hold, are whole rows of zeros.

    Raises:
        UserError: a tensor is so.
    """
    for key, tensor in state.items():
        if key.endswith("running_var") and not tensor.any():
            raise UserError(f"{where}: {key} is 0 in all channels: {AGAIN}")
        if key.endswith("weight") and tensor.ndim > 1:
            if not tensor.any():
                raise UserError(f"{where}: {key} holds nothing but zeros: {AGAIN}")
            if _has_hole(tensor):
                raise UserError(f"{where}: {key} has zeros in the place of some of its numbers: {AGAIN}")
    means = [key for key in state if key.endswith("running_mean")]
    unseen = all(not state[key].any() and bool((state[key.replace("_mean", "_var")] == 1).all()) for key in means)
    norms = [state[key.replace("running_mean", name)] for key in means for name in ("weight", "bias")]
    if means and unseen and any(bool(((norm != 0) & (norm != 1)).any()) for norm in norms):
        raise UserError(
            f"{where} has trained batch norms without statistics (mean 0 and variance 1 everywhere), as Caffe's "
            f"networks have, which take BGR: give one that was saved with the statistics of its training, on RGB"
        )


def _has_hole(weight: Tensor) -> bool:
    """Whether zeros follow each other in a page or more that does not begin and end with a row."""
    import torch

    zero = (weight == 0).flatten()
    if int(zero.sum()) < HOLE:
        return False
    edges = torch.diff(zero.to(torch.int8), prepend=torch.zeros(1), append=torch.zeros(1))
    begins, ends = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
    row = weight[0].numel()
    return bool(((ends - begins >= HOLE) & ((begins % row != 0) | (ends % row != 0))).any())
