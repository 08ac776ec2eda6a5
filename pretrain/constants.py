"""Small constants on a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def constant(values: Sequence[float], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The values as a tensor on the device; ``torch.tensor(values, device=device)`` would make the host wait for it."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
