"""Whether a framework really took every tensor of a weight file: compared value by value, not read from its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from transfer.weights.backbone.architecture import COUNTER
from transfer.weights.convert.target import ConversionError

if TYPE_CHECKING:
    from torch import Tensor


def check_same_shapes(model: Mapping[str, Tensor], file: Mapping[str, Tensor], where: str) -> None:
    """Checks that the model and the file have the same keys and shapes.

    Batch counters that the file leaves out are the model's own: torch starts them at 0.

    Args:
        model: state dict of the target's backbone.
        file: what the file holds.
        where: the framework, for the message.

    Raises:
        ConversionError: a key is missing, unexpected or of another shape.
    """
    missing = [key for key in model if key not in file and not key.endswith(COUNTER)]
    if missing:
        raise ConversionError(f"{where}: the weights lack {len(missing)} keys of its backbone, first {missing[0]!r}")
    unexpected = [key for key in file if key not in model]
    if unexpected:
        raise ConversionError(f"{where}: its backbone has no place for {len(unexpected)} keys, first {unexpected[0]!r}")
    for key, tensor in file.items():
        if tensor.shape != model[key].shape:
            shapes = f"{list(tensor.shape)} in the weights, {list(model[key].shape)} in its backbone"
            raise ConversionError(f"{where}: {key!r} has shape {shapes}")


def check_same_tensors(model: Mapping[str, Tensor], file: Mapping[str, Tensor], where: str) -> None:
    """Checks that after loading the model holds what the file holds: same keys, same values.

    Args and errors are those of :func:`check_same_shapes`; a tensor that was not taken over is an error too.
    """
    import torch

    check_same_shapes(model, file, where)
    for key, tensor in file.items():
        if not torch.equal(tensor, model[key].cpu()):
            raise ConversionError(f"{where}: {key!r} was not loaded, its backbone holds other values")
