"""The one collective operation that gradients flow through."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of all processes' tensors of this shape; its backward pass sums the gradients of all processes.

    A loss that every process computes from such sums has, after DistributedDataParallel's mean over processes, the
    gradient that one process with the whole batch would have.
    """
    total: Tensor = _SumOverProcesses.apply(tensor)
    return total
