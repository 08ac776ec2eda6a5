"""Floating-point operations of a network, counted on shapes alone. Imports torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def counted_forward(network: nn.Module, shape: tuple[int, ...], num_inputs: int = 2) -> FlopCounterMode:
    """Counts one forward pass of ``num_inputs`` inputs, at least two, because batch norms refuse one.

    It counts matrix products, convolutions and attention; the rest (norms, activations, pooling) is bound by memory
    and small. A multiplication and its addition are two operations.

    Args:
        network: on the meta device, without state that depends on the number of passes.
        shape: of the input, without the batch.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(num_inputs, *shape, device="meta"))
    return counter


def shares(counter: FlopCounterMode) -> tuple[float, float]:
    """The operations that a counter saw in convolutions, and in everything else."""
    found = {str(operation): flop for operation, flop in counter.get_flop_counts()["Global"].items()}
    convolutions = sum(flop for operation, flop in found.items() if "convolution" in operation)
    return float(convolutions), float(sum(found.values()) - convolutions)
