"""What is made up for CUDA tensors without data."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.devices.fake_cuda import fake_cuda


def modes_of_copies() -> list[bool]:
    """Whether a copied buffer and a copied parameter are of the mode that they were made in."""
    with fake_cuda():
        norm = nn.BatchNorm1d(3, device="cuda")
        copied: Any = copy.deepcopy(norm)
        assert isinstance(copied.weight, nn.Parameter) and copied.weight.device == torch.device("cuda", 0)
        original: Any = norm
        pairs = [(copied.weight, original.weight), (copied.running_mean, original.running_mean)]
        return [mine.fake_mode is theirs.fake_mode for mine, theirs in pairs]


def test_a_copied_network_has_no_mode_of_its_own(on_fake_cuda: Callable[..., Any]) -> None:
    """torch copies the mode with each tensor; a momentum encoder that was copied so damaged the heap."""
    assert on_fake_cuda(modes_of_copies) == [True, True]
