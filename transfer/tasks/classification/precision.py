"""In which precision a network's passes are computed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from transfer.tasks.classification.protocol import Precision
from twist_common.errors import UserError


@contextlib.contextmanager
def computed_in(precision: Precision, device: str) -> Iterator[None]:
    """Passes within the context are in this precision on GPUs; CPUs always compute in the network's own.

    ``"fp32"`` is that of the official evaluations, in full: cuDNN's convolutions would by default round their inputs to
    ten bits of mantissa (TF32). ``"bf16"`` is torch's autocast. Of its algorithms for a shape cuDNN takes the fastest.
    """
    kind = torch.device(device).type
    on_gpu = kind == "cuda"
    if on_gpu and precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError("precision=bf16, which this GPU does not have: leave it out")
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision, torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark |= on_gpu
    if on_gpu and precision == "fp32":
        convolutions.fp32_precision = "ieee"
    try:
        with torch.autocast(kind, torch.bfloat16, enabled=on_gpu and precision == "bf16"):
            yield
    finally:
        convolutions.fp32_precision, torch.backends.cudnn.benchmark = before


def place(network: nn.Module, precision: Precision, device: str) -> None:
    """Moves the network to the device, in the layout for passes that are :func:`computed_in` this precision.

    Channels last is for tensor cores, which convolutions in single precision do not use ("Tensor Layouts In Memory" of
    https://docs.nvidia.com/deeplearning/performance/dl-performance-convolutional/index.html).
    """
    network.to(device)
    if precision == "bf16" and torch.device(device).type == "cuda":
        network.to(memory_format=torch.channels_last)
